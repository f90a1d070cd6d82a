//! `vitral quickstart`: the experiment and the images to begin with, copied from where the examples are.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use vitral_files::{Access, Kind, NewFolder};

use crate::failure::Failure;

/// The experiment among the examples.
const EXPERIMENT: &str = "quickstart.ron";
/// The images that it names.
const DATA: &str = "data/fashion-mnist-subset";
/// What travels with the program.
const FILE: Kind = Kind::new("a file of the quickstart", 16 << 20);

#[derive(Debug, Args)]
pub struct QuickstartArguments {
    /// The folder to write, which must not exist yet.
    #[arg(default_value = "quickstart")]
    pub folder: PathBuf,
}

pub fn run(arguments: &QuickstartArguments) -> Result<ExitCode, Failure> {
    let examples = examples()?;
    let folder = &arguments.folder;
    let failed = |error: io::Error| Failure::Other(format!("{}: {error}", folder.display()));
    let new = NewFolder::create(folder).map_err(failed)?;
    let experiment = examples.join(EXPERIMENT);
    let content = vitral_files::read(&experiment, FILE).map_err(|error| at(&experiment, &error))?;
    new.write_new(EXPERIMENT, &content, Access::Usual).map_err(failed)?;
    let data = new.path().join(DATA);
    fs::create_dir_all(&data).map_err(|error| at(&data, &error))?;
    vitral_files::copy_folder(&examples.join(DATA), &data, FILE)
        .map_err(|error| at(&error.path, &error.source))?;
    new.finish().map_err(failed)?;
    println!("wrote an experiment and 10,000 images of Fashion-MNIST to {}", folder.display());
    println!("next:");
    println!("  cd {}", folder.display());
    println!("  vitral train {EXPERIMENT}");
    println!("  vitral eval runs/quickstart/best");
    Ok(ExitCode::SUCCESS)
}

/// The folder of the examples: that of an installed program, or that of the clone in which it was built.
fn examples() -> Result<PathBuf, Failure> {
    let program = env::current_exe()
        .map_err(|error| Failure::Other(format!("cannot tell where this program is: {error}")))?;
    let places = places(&program);
    places.iter().find(|place| place.join(EXPERIMENT).is_file()).cloned().ok_or_else(|| {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        Failure::Other(format!(
            "the examples are neither beside the program nor in the checkout that it was built \
             from ({}): get `examples` from the repository",
            places.join(", ")
        ))
    })
}

/// Where a program's examples may be: `<prefix>/bin/vitral` has them in `<prefix>/share`,
/// `<clone>/target/<profile>/vitral` in the clone.
fn places(program: &Path) -> Vec<PathBuf> {
    let above = |levels| program.ancestors().nth(levels);
    let installed = above(2).map(|prefix| prefix.join("share/vitral/examples"));
    let cloned = above(3).map(|clone| clone.join("examples"));
    installed.into_iter().chain(cloned).collect()
}

fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_beside_an_installed_program_or_in_the_clone() {
        let places = places(Path::new("/venv/bin/vitral"));
        assert_eq!(places[0], Path::new("/venv/share/vitral/examples"));
        let places = super::places(Path::new("/clone/target/release/vitral"));
        assert_eq!(places[1], Path::new("/clone/examples"));
    }
}

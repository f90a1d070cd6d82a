//! How Vitral reads and writes files: what others have put into a folder neither has anything written
//! elsewhere nor keeps the program waiting.
//!
//! [`NewFile`] and [`NewFolder`] are made beside their place under a random name, and moved there when they
//! are whole; what is done in an [`OpenFolder`] stays in it, and [`copy_folder`] fills one that is new. [`append`] and [`update`] open what stays in its
//! place. [`open`] and [`read`] take regular files of at most the size that their [`Kind`] may have. Errors say
//! what is wrong with a file, and their caller names it.
//!
//! ```
//! use vitral_files::{Access, Existing, Kind, Scratch, read_text, write};
//!
//! const NOTE: Kind = Kind::new("a note", 1024);
//!
//! let folder = Scratch::create(None)?;
//! let path = folder.path().join("note.txt");
//! write(&path, b"first", Existing::Refuse, Access::Usual)?;
//! assert_eq!(read_text(&path, NOTE)?, "first");
//!
//! // What is there stays, unless it is to be replaced.
//! assert!(write(&path, b"second", Existing::Refuse, Access::Usual).is_err());
//! write(&path, b"second", Existing::Replace, Access::Usual)?;
//! assert_eq!(read_text(&path, NOTE)?, "second");
//! folder.remove()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod copy;
mod descriptor;
mod existing;
mod folder;
mod kind;
mod leftover;
mod open_folder;
mod place;
mod read;
mod remove;
mod sync;
mod write;

pub use copy::{CopyError, copy_folder};
pub use existing::Existing;
pub use folder::{NewFolder, Scratch, create_private_folder, is_private_folder};
pub use kind::Kind;
pub use open_folder::OpenFolder;
pub use place::{check_new, check_place};
pub use read::{open, read, read_into, read_own, read_text};
pub use remove::remove;
pub use sync::{sync_folder, sync_folder_of};
pub use write::{Access, NewFile, append, update, write, write_new};

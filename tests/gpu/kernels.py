"""The kernels that a program has compiled, by `ptxas`: what they take of a multiprocessor."""

import hashlib
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

# In PTX: what computes on tensor cores, by the type of the operands.
TENSOR_CORES = {name: re.compile(rf"\b(?:w?mma|wgmma)\S*\.{name}\b") for name in ("tf32", "bf16", "f16")}
SHOWN = 8


class Kernels:
    """Those of several runs, each once."""

    def __init__(self, folder, ptxas, capability):
        self.folder, self.ptxas = folder, ptxas
        # As NVRTC is told: from Hopper on, for the very GPU.
        self.architecture = f"sm_{capability}{'a' if capability >= 90 else ''}"
        self.runs = 0
        self.shared = {}

    def launched(self, name, shared):
        """Notes the shared memory that launches asked for: in PTX, it has no size."""
        self.shared[name] = max(shared, self.shared.get(name, 0))

    def folder_of_a_run(self):
        self.runs += 1
        folder = self.folder / f"{self.runs}"
        folder.mkdir(parents=True)
        return folder

    def texts(self):
        """The text of each by its digest; the same kernel is compiled in each run."""
        files = sorted(self.folder.glob("*/*.ptx"))
        return {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in files}

    def assemble(self, precision):
        """Assembles all of them, shows what they take, and tells whether all could be."""
        files = list(self.texts().values())
        with ThreadPoolExecutor(cpu_count()) as threads:
            found = list(threads.map(self.assemble_one, files))
        errors = [error for error, _ in found if error]
        figures = [figures for error, figures in found if not error]
        texts = [file.read_text() for file in files]
        by_type = {
            name: sum(bool(pattern.search(text)) for text in texts)
            for name, pattern in TENSOR_CORES.items()
        }
        on_cores = ", ".join(f"{count} in {name}" for name, count in by_type.items() if count)
        spilling = sorted((one for one in figures if one["spilled"]), key=lambda one: -one["spilled"])
        print(f"{len(files)} kernels of {precision} for {self.architecture}, {len(errors)} with errors;")
        print(f"on tensor cores: {on_cores or 'none'}; {len(spilling)} spill registers\n")
        if figures:
            most = sorted(figures, key=lambda one: (-one["spilled"], -one["registers"]))[:SHOWN]
            print("| kernel | registers | bytes spilled | bytes of shared memory |\n|---|---|---|---|")
            for one in most:
                print(f"| {one['name'][:60]} | {one['registers']} | {one['spilled']} | {one['shared']} |")
            print(flush=True)
        # As README.md says of `F32`: 11 significant bits in products of matrices, and no fewer.
        if precision == "f32" and (not by_type["tf32"] or by_type["bf16"] or by_type["f16"]):
            errors.append(f"in f32, products are said to take tf32, but: {on_cores or 'none do'}")
        for error in errors:
            print(error)
        return not errors

    def assemble_one(self, file):
        command = [self.ptxas, "-v", f"-arch={self.architecture}", file, "-o", "/dev/null"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"{file}: {done.stderr}", None
        number = lambda pattern: sum(map(int, re.findall(pattern, done.stderr)))
        name = re.search(r"Compiling entry function '([^']+)'", done.stderr).group(1)
        return None, {
            "name": name,
            "registers": number(r"Used (\d+) registers"),
            "spilled": number(r"(\d+) bytes spill stores"),
            "shared": number(r"(\d+) bytes smem") + self.shared.get(name, 0),
        }

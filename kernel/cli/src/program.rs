//! From the words after `--` to files: which executable will run, which script it runs, and their digests.
//!
//! What is executed is bound by digest into the contract, so it must be the real file: links are followed to their
//! end, and launcher scripts that a version manager puts on PATH are passed over in favour of the program behind
//! them. A script's `#!` line is followed once. Arguments are not bound: they are data.

use crate::exit::Exit;
use crate::trouble::{Result, Trouble};
use pawang_core::contract::Contract;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The executable: absolute, no link in it.
    pub executable: String,
    /// The script, for interpreters: absolute, no link in it.
    pub script: Option<String>,
    /// What comes after.
    pub args: Vec<String>,
    /// The runtime preset it needs.
    pub runtime: Runtime,
}

/// Which preset of files a program may read besides its contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Nothing: a statically linked program.
    Static,
    /// The system's shared libraries.
    System,
    /// A Python interpreter and its standard library.
    Python,
}

/// Interpreters, by the beginning of their file's name: their first argument, where it is a file, is program too.
const INTERPRETERS: &[&str] = &["python", "node", "bash", "dash", "sh", "perl", "ruby", "lua"];
/// Longest `#!` line followed, in bytes; the kernel's own limit.
const SHEBANG_MAX: usize = 256;
/// Largest program file, in bytes. It is read whole to be hashed, and held in memory by the jail.
pub const FILE_MAX: u64 = 256 << 20;

impl Runtime {
    /// Its name in a contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::System => "system",
            Self::Python => "python",
        }
    }
}

impl Program {
    /// What the words after `--` stand for, with this process's PATH and directory.
    ///
    /// # Errors
    /// Where there is no such program, or it is not one that can be bound by digest.
    pub fn resolve(words: &[String]) -> Result<Self> {
        resolve(words, &env::var_os("PATH").unwrap_or_default())
    }

    /// The program a contract names, without arguments.
    #[must_use]
    pub fn from_contract(contract: &Contract) -> Self {
        let runtime = match contract.runtime.as_str() {
            "python" => Runtime::Python,
            "static" => Runtime::Static,
            _ => Runtime::System,
        };
        let program = &contract.program;
        let script = program.script.as_ref().map(|script| script.path.clone());
        Self { executable: program.executable.path.clone(), script, args: Vec::new(), runtime }
    }
}

/// As [`Program::resolve`], with another PATH.
///
/// # Errors
/// As [`Program::resolve`].
pub fn resolve(words: &[String], path: &OsStr) -> Result<Program> {
    let Some((first, args)) = words.split_first() else {
        return Err(
            Trouble::new(Exit::Usage, "no program to run").hint("pawang run JOB.toml -- python3 script.py")
        );
    };
    let executable = if first.contains('/') { real(Path::new(first))? } else { search(first, path)? };
    match kind_of(&executable)? {
        Kind::Elf(runtime) => bind(&executable, runtime, args),
        Kind::Script(line) => resolve_script(&executable, &line, args, path),
        Kind::Other => Err(Trouble::new(Exit::Refused, format!("{} is not a program", executable.display()))
            .why("it is neither an ELF executable nor a script with a #! line")),
    }
}

/// What a file is, by its first bytes.
enum Kind {
    Elf(Runtime),
    Script(String),
    Other,
}

fn bind(executable: &Path, runtime: Runtime, args: &[String]) -> Result<Program> {
    let name = executable.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let interprets = INTERPRETERS.iter().any(|i| name.starts_with(i));
    let runtime = if name.starts_with("python") { Runtime::Python } else { runtime };
    let script = if interprets { script_of(&name, args)? } else { None };
    let args = if script.is_some() { args.get(1..).unwrap_or_default() } else { args };
    Ok(Program { executable: text(executable)?, script, args: args.to_vec(), runtime })
}

/// The script an interpreter is asked to run: its first argument. An option in front of it would have to be bound
/// as well, and contracts bind files only.
fn script_of(interpreter: &str, args: &[String]) -> Result<Option<String>> {
    let Some(first) = args.first() else { return Ok(None) };
    if !first.starts_with('-') {
        return real(Path::new(first)).and_then(|path| text(&path)).map(Some);
    }
    let takes_no_script = matches!(first.as_str(), "-c" | "-m" | "-e" | "--version" | "-V" | "-");
    match args.iter().find(|arg| Path::new(arg.as_str()).is_file()) {
        Some(script) if !takes_no_script => {
            Err(Trouble::new(Exit::Usage, format!("{first} stands between {interpreter} and its script"))
                .why("a contract binds the interpreter and the script; options between them would be unbound")
                .hint(format!("put the script first: {interpreter} {script} …")))
        }
        _ => Ok(None),
    }
}

/// Follows `#!interpreter` and `#!/usr/bin/env interpreter`.
fn resolve_script(script: &Path, line: &str, args: &[String], path: &OsStr) -> Result<Program> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let interpreter = match words.as_slice() {
        [env, name] if env.ends_with("/env") => search(name, path)?,
        [interpreter] => real(Path::new(interpreter))?,
        _ => {
            return Err(Trouble::new(Exit::Refused, format!("cannot run {} by itself", script.display()))
                .why(format!("its first line is #!{line}, with options that a contract could not bind"))
                .hint(format!("name the interpreter: -- python3 {}", script.display())));
        }
    };
    let Kind::Elf(runtime) = kind_of(&interpreter)? else {
        return Err(Trouble::new(Exit::Refused, format!("cannot run {}", script.display()))
            .why(format!("its interpreter {} is itself a script", interpreter.display())));
    };
    let all: Vec<String> = std::iter::once(text(script)?).chain(args.iter().cloned()).collect();
    let program = bind(&interpreter, runtime, &all)?;
    // An interpreter we do not know by name runs a script all the same, when a #! line says so.
    Ok(if program.script.is_some() {
        program
    } else {
        Program { script: Some(text(script)?), args: args.to_vec(), ..program }
    })
}

/// The first executable ELF file of that name on PATH.
fn search(name: &str, path: &OsStr) -> Result<PathBuf> {
    let mut passed_over = None;
    for dir in env::split_paths(path).filter(|dir| dir.is_absolute()) {
        let candidate = dir.join(name);
        let Ok(meta) = fs::metadata(&candidate) else { continue };
        if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
            continue;
        }
        match real(&candidate).and_then(|file| kind_of(&file).map(|kind| (file, kind))) {
            Ok((file, Kind::Elf(_))) => return Ok(file),
            Ok((file, _)) => passed_over = passed_over.or(Some(file)),
            Err(_) => {}
        }
    }
    let trouble = Trouble::new(Exit::NotFound, format!("no program {name} on PATH"));
    Err(match passed_over {
        Some(file) => trouble
            .why(format!("only {} is there, and that is a script", file.display()))
            .hint(format!("name the file: -- {} …", file.display())),
        None => trouble.hint("give its path"),
    })
}

fn real(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|e| Trouble::file("find the program file", path, &e))
}

/// Contracts and messages hold text.
fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Trouble::new(Exit::Refused, format!("{} is not UTF-8", path.display())).hint("rename it")
    })
}

fn kind_of(path: &Path) -> Result<Kind> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|e| Trouble::file("read", path, &e))?;
    let meta = file.metadata().map_err(|e| Trouble::file("read", path, &e))?;
    if !meta.is_file() || meta.len() > FILE_MAX {
        return Err(Trouble::new(Exit::Refused, format!("{} is not a program", path.display()))
            .why(format!("it is not a regular file of at most {} MiB", FILE_MAX >> 20)));
    }
    // Program headers follow the ELF header directly in every file a linker writes; 4 KiB hold dozens of them.
    file.take(4096).read_to_end(&mut head).map_err(|e| Trouble::file("read", path, &e))?;
    if head.starts_with(b"\x7fELF") {
        return Ok(Kind::Elf(if has_loader(&head) { Runtime::System } else { Runtime::Static }));
    }
    let line = head.strip_prefix(b"#!").and_then(|rest| rest.get(..SHEBANG_MAX.min(rest.len())));
    let line = line.and_then(|rest| rest.split(|b| *b == b'\n').next());
    Ok(line.map_or(Kind::Other, |line| Kind::Script(String::from_utf8_lossy(line).trim().to_owned())))
}

/// Whether an ELF64 little-endian file names a loader (PT_INTERP): it is linked dynamically.
fn has_loader(head: &[u8]) -> bool {
    let word = |at: usize| {
        head.get(at..at.saturating_add(2)).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes)
    };
    let long = |at: usize| {
        head.get(at..at.saturating_add(4)).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
    };
    let (Some(offset), Some(size), Some(count)) = (long(32), word(54), word(56)) else { return true };
    let Ok(offset) = usize::try_from(offset) else { return true };
    // Where a header lies beyond what was read, the larger preset is the one that works.
    (0..usize::from(count))
        .any(|i| long(offset.saturating_add(i.saturating_mul(usize::from(size)))).is_none_or(|t| t == 3))
}

#[cfg(test)]
mod tests {
    use super::{Runtime, resolve};
    use crate::exit::Exit;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|w| (*w).to_owned()).collect()
    }

    fn put(path: &Path, bytes: &[u8]) -> String {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// An ELF header with one program header of that type.
    fn elf(kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn path_is_searched_for_the_real_program_past_scripts_and_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (shims, bin, real) = (root.join("shims"), root.join("bin"), root.join("real"));
        for d in [&shims, &bin, &real] {
            fs::create_dir(d).unwrap();
        }
        put(&shims.join("python3"), b"#!/bin/sh\nexec other\n");
        let python = put(&real.join("python3.11"), &elf(3));
        symlink(real.join("python3.11"), bin.join("python3")).unwrap();
        let script = put(&root.join("report.py"), b"print(1)\n");
        let path = std::env::join_paths([&shims, &bin]).unwrap();

        let program = resolve(&words(&["python3", &script, "--fast"]), &path).unwrap();
        assert_eq!((program.executable, program.runtime), (python, Runtime::Python));
        assert_eq!((program.script, program.args), (Some(script), words(&["--fast"])));

        let only_shims = resolve(&words(&["python3"]), shims.as_os_str()).unwrap_err();
        assert_eq!(only_shims.exit, Exit::NotFound);
        assert!(only_shims.why.contains("that is a script"), "{only_shims}");
    }

    #[test]
    fn linkage_chooses_the_runtime() {
        let dir = tempfile::tempdir().unwrap();
        for (name, kind, runtime) in [("dynamic", 3, Runtime::System), ("static", 1, Runtime::Static)] {
            let file = put(&dir.path().join(name), &elf(kind));
            assert_eq!(resolve(&words(&[&file, "x"]), OsStr::new("")).unwrap().runtime, runtime, "{name}");
        }
    }

    #[test]
    fn a_script_runs_under_the_interpreter_its_first_line_names() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let python = put(&root.join("python3"), &elf(3));
        let other = put(&root.join("weird"), &elf(3));
        for (line, executable, ok) in [
            ("#!/usr/bin/env python3\n", &python, true),
            (&format!("#!{other}\n"), &other, true),
            ("#!/usr/bin/env -S python3 -u\n", &python, false),
        ] {
            let script = put(&root.join("job"), line.as_bytes());
            match resolve(&words(&[&script, "a"]), root.as_os_str()) {
                Ok(program) => {
                    assert!(ok, "{line}");
                    assert_eq!((&program.executable, program.script), (executable, Some(script)));
                    assert_eq!(program.args, words(&["a"]));
                }
                Err(e) => assert!(!ok && e.exit == Exit::Refused, "{line}: {e}"),
            }
        }
    }

    #[test]
    fn options_before_the_script_are_refused_and_programs_on_the_command_line_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let python = put(&dir.path().join("python3"), &elf(3));
        let script = put(&dir.path().join("job.py"), b"");
        let err = resolve(&words(&[&python, "-u", &script]), OsStr::new("")).unwrap_err();
        assert_eq!((err.exit, err.what.as_str()), (Exit::Usage, "-u stands between python3 and its script"));
        let program = resolve(&words(&[&python, "-c", "print(1)", &script]), OsStr::new("")).unwrap();
        assert_eq!((program.script, program.args.len()), (None, 3));
        let missing = resolve(&words(&[&python, "nowhere.py"]), OsStr::new("")).unwrap_err();
        assert_eq!(missing.exit, Exit::NotFound);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = put(&dir.path().join("notes"), b"hello");
        assert_eq!(resolve(&words(&[&text]), OsStr::new("")).unwrap_err().exit, Exit::Refused);
        assert_eq!(resolve(&words(&["/"]), OsStr::new("")).unwrap_err().exit, Exit::Refused);
        assert_eq!(resolve(&[], OsStr::new("")).unwrap_err().exit, Exit::Usage);
    }
}

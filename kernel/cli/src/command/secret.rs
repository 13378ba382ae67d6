//! `pawang secret`: what the vault holds. Values come from stdin or a prompt, never from argv, and are never shown.

use crate::client::Client;
use crate::command::{Context, info};
use crate::exit::Exit;
use crate::prompt;
use crate::table::{Column, Table};
use crate::trouble::{Result, Trouble};
use clap::{Args, Subcommand};
use pawang_core::contract::secret::is_secret_name;
use pawang_core::control::{SecretRef, VaultState};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest secret, in bytes; the vault's own limit.
const SECRET_MAX: u64 = 64 << 10;
/// Largest passphrase file, in bytes.
const PASSPHRASE_MAX: u64 = 4096;

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store a secret; its value is read from stdin, or asked for on the terminal.
    ///
    /// Programs never see it: a contract names it (`[[secret]]`), and the kernel puts it into requests on their way out,
    /// to the destination the contract binds it to.
    ///
    ///   pass show openai | pawang secret set OPENAI_API_KEY
    Set(SetArgs),
    /// List the names of the secrets stored.
    List(ListArgs),
    /// Remove a secret.
    Remove(RemoveArgs),
    /// Open the vault until the daemon ends. The first time, this chooses its passphrase.
    Unlock(UnlockArgs),
}

/// Options of `set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its name: capitals, digits and _.
    #[arg(value_parser = secret_name)]
    name: String,
    #[command(flatten)]
    passphrase: UnlockArgs,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// As a JSON list.
    #[arg(long)]
    json: bool,
}

/// Options of `remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Its name.
    #[arg(value_parser = secret_name)]
    name: String,
    #[command(flatten)]
    passphrase: UnlockArgs,
}

/// Options of `unlock`.
#[derive(Debug, Args)]
pub struct UnlockArgs {
    /// Read the vault's passphrase from the first line of this file, which only you may read.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// A vault that stays shut, a value that is refused, or a lost connection.
pub fn run(context: &Context, command: &Command) -> Result<()> {
    let mut client = context.connect()?;
    match command {
        Command::Set(args) => {
            let value = value(&args.name)?;
            open_vault(&mut client, args.passphrase.passphrase_file.as_deref())?;
            let secret = SecretRef { name: args.name.clone() };
            let () = client.ask_with("cannot store the secret", "ctl.secret-set", &secret, &value)?;
            context.ui.done(&format!("{} is in the vault", args.name));
        }
        Command::List(args) => return list(context, &mut client, args),
        Command::Remove(args) => {
            open_vault(&mut client, args.passphrase.passphrase_file.as_deref())?;
            let secret = SecretRef { name: args.name.clone() };
            let () = client.ask("cannot remove the secret", "ctl.secret-remove", &secret)?;
            context.ui.done(&format!("{} is no longer in the vault", args.name));
        }
        Command::Unlock(args) => {
            open_vault(&mut client, args.passphrase_file.as_deref())?;
            context.ui.done("the vault is open until the daemon ends");
        }
    }
    Ok(())
}

fn list(context: &Context, client: &mut Client, args: &ListArgs) -> Result<()> {
    let names: Vec<String> = client.ask("cannot list the secrets", "ctl.secret-list", &())?;
    if args.json {
        return context.ui.json(&names);
    }
    let mut table = Table::new(&[("", Column::Left)]);
    for name in names {
        table.row([name.into()]);
    }
    context.ui.table(&table, "the vault is empty; store a secret: pawang secret set NAME")
}

/// Unlocks the vault unless it is open: with the passphrase of the file, else with one asked for.
///
/// # Errors
/// A wrong passphrase, no terminal to ask on, or a lost connection.
pub fn open_vault(client: &mut Client, file: Option<&Path>) -> Result<()> {
    let state = info(client)?.vault;
    if state == VaultState::Open {
        return Ok(());
    }
    let passphrase = match (file, state) {
        (Some(file), _) => read_passphrase(file)?,
        (None, VaultState::Absent) => choose_passphrase()?,
        (None, _) => prompt::ask("Passphrase of the vault: ", HINT)?,
    };
    client.ask_with("the vault stays shut", "ctl.vault-unlock", &(), &passphrase)
}

/// Where there is no terminal.
const HINT: &str = "put the passphrase into a file only you can read: --passphrase-file FILE";

fn choose_passphrase() -> Result<Zeroizing<Vec<u8>>> {
    let first = prompt::ask("Choose a passphrase for the vault: ", HINT)?;
    let again = prompt::ask("The same again: ", HINT)?;
    if first.is_empty() {
        return Err(Trouble::new(Exit::Refused, "the vault needs a passphrase").why("nothing was typed"));
    }
    if *first == *again {
        return Ok(first);
    }
    Err(Trouble::new(Exit::Refused, "the two are not the same; nothing was changed").hint("try again"))
}

/// The value: all of stdin but one line end, or what is typed.
fn value(name: &str) -> Result<Zeroizing<Vec<u8>>> {
    if io::stdin().is_terminal() {
        return prompt::ask(&format!("{name}: "), "give the value on stdin");
    }
    read_secret(io::stdin().lock(), SECRET_MAX, "stdin")
}

fn read_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).map_err(|e| Trouble::file("read", path, &e))?;
    let meta = file.metadata().map_err(|e| Trouble::file("read", path, &e))?;
    if meta.is_file() && meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o7777;
        return Err(Trouble::new(Exit::Refused, format!("{} is not used", path.display()))
            .why(format!("others may read or change it (mode {mode:04o})"))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = read_secret(file, PASSPHRASE_MAX, "the passphrase file")?;
    let line = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    text.truncate(line);
    if text.is_empty() {
        return Err(Trouble::new(Exit::Refused, format!("{} holds no passphrase", path.display())));
    }
    Ok(text)
}

/// Made room for at once: a buffer that grew would leave copies behind.
fn read_secret(source: impl Read, max: u64, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let room = usize::try_from(max).unwrap_or(0).saturating_add(2);
    let mut value = Zeroizing::new(Vec::with_capacity(room));
    let read = source.take(max.saturating_add(2)).read_to_end(&mut value);
    read.map_err(|e| Trouble::new(Exit::Failed, format!("cannot read {what}")).why(e))?;
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    if u64::try_from(value.len()).is_ok_and(|n| n <= max) {
        return Ok(value);
    }
    Err(Trouble::new(Exit::Refused, format!("{what} is too long"))
        .why(format!("a secret has at most {max} bytes")))
}

fn secret_name(text: &str) -> std::result::Result<String, String> {
    if is_secret_name(text) {
        return Ok(text.to_owned());
    }
    Err("a secret's name is capitals, digits and _, such as OPENAI_API_KEY; its value comes from stdin"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::{SECRET_MAX, read_passphrase, read_secret};
    use crate::exit::Exit;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_value_loses_one_line_end_and_is_bounded_at_its_limit() {
        assert_eq!(**read_secret(&b"key\n"[..], 8, "stdin").unwrap(), *b"key");
        assert_eq!(**read_secret(&b"key\n\n"[..], 8, "stdin").unwrap(), *b"key\n");
        let max = usize::try_from(SECRET_MAX).unwrap();
        assert_eq!(read_secret(&vec![b'x'; max][..], SECRET_MAX, "stdin").unwrap().len(), max);
        assert_eq!(
            read_secret(&vec![b'x'; max + 1][..], SECRET_MAX, "stdin").unwrap_err().exit,
            Exit::Refused
        );
    }

    #[test]
    fn a_passphrase_file_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        fs::write(&path, "correct horse\nignored\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read_passphrase(&path).unwrap_err().why, "others may read or change it (mode 0640)");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(**read_passphrase(&path).unwrap(), *b"correct horse");
    }
}

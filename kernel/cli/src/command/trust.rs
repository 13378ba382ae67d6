//! `pawang trust`: whose signatures the daemon accepts, and how far.
//!
//! The store is the daemon's and is written into its log; here it is fetched, changed and sent back whole.

use crate::client::Client;
use crate::command::{Context, read_file};
use crate::exit::Exit;
use crate::paint::Tone;
use crate::table::{Cell, Column, Table};
use crate::trouble::{Result, Trouble};
use crate::units;
use clap::{Args, Subcommand};
use pawang_core::key::KeyId;
use pawang_core::method::Methods;
use pawang_core::trust::{Ceiling, Purpose, TrustEntry, TrustStore};
use serde_json::Value;
use std::path::PathBuf;

/// Largest ceiling file, in bytes.
const CEILING_MAX: u64 = 1 << 20;

/// A test holds that it is one.
const CEILING_EXAMPLE: &str = "A ceiling:
  gas = 10000
  ttl_s = 86400
  uses = 10
  allow = [{ call = \"fs.read\", path = \"/srv/data/**\" }]
  secrets = [{ name = \"EXAMPLE_KEY\", to = \"https://api.example.com/**\" }]
  [limits]
  wall_s = 600
  memory_mib = 512
  processes = 8
  open_files = 64
  file_mib = 16
  tmp_mib = 16
  output_kib = 1024
  memory_store_kib = 0";

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the keys the daemon accepts, and the ceiling of each.
    List(ListArgs),
    /// Accept contracts signed by a key, up to a ceiling.
    ///
    /// The ceiling is a TOML file written like a contract: nothing that the key signs may go beyond it, and what the file
    /// leaves out is none.
    #[command(after_help = CEILING_EXAMPLE)]
    Add(AddArgs),
    /// No longer accept a key. Runs under its contracts go on; see `pawang contract revoke`.
    Remove(RemoveArgs),
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The whole store as JSON.
    #[arg(long)]
    json: bool,
}

/// Options of `add`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("how far").required(true))]
pub struct AddArgs {
    /// The name to show instead of the key.
    name: String,
    /// The public key, ed25519:…; its owner sees it with `pawang key show`.
    key: KeyId,
    /// How far: a TOML file.
    #[arg(long, value_name = "FILE", group = "how far")]
    ceiling: Option<PathBuf>,
    /// As far as this machine's own operator: everything a contract can say.
    #[arg(long, group = "how far")]
    operator: bool,
    /// Accept it for so many days only.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: Option<u32>,
}

/// Options of `remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Its name in the list, or the key.
    key: String,
}

/// Runs it.
///
/// # Errors
/// A ceiling that means nothing, a name that is taken or unknown, or a lost connection.
pub fn run(context: &Context, command: &Command) -> Result<()> {
    let mut client = context.connect()?;
    let methods = methods()?;
    match command {
        Command::List(args) => list(context, &mut client, args, &methods),
        Command::Add(args) => add(context, &mut client, args, &methods),
        Command::Remove(args) => remove(context, &mut client, args, &methods),
    }
}

/// Has the daemon accept the operator's own key, under this name or, where another key has it, the name and the key's
/// first digits. Returns the name.
///
/// # Errors
/// A full store, or a lost connection.
pub fn accept_operator(context: &Context, key: KeyId, name: &str) -> Result<String> {
    let mut client = context.connect()?;
    let methods = methods()?;
    let mut store = fetch(&mut client, &methods)?;
    if let Some(there) = store.entries().iter().find(|entry| entry.key == key) {
        return Ok(there.name.clone());
    }
    let is_taken = store.entries().iter().any(|entry| entry.name == name);
    let name = if is_taken { format!("{name}-{}", key.short()) } else { name.to_owned() };
    let ceiling = Ceiling::operator(&methods);
    let entry =
        TrustEntry { key, name: name.clone(), purposes: vec![Purpose::Contract], not_after: None, ceiling };
    store
        .add(entry, &methods)
        .map_err(|e| Trouble::new(Exit::Refused, "the key cannot be trusted").why(e))?;
    put(&mut client, &store)?;
    Ok(name)
}

/// The price table, which says what can be called.
///
/// # Errors
/// Never in a build that passed its tests.
pub fn methods() -> Result<Methods> {
    Methods::builtin().map_err(|e| Trouble::new(Exit::Failed, "the price table cannot be read").why(e))
}

/// The daemon's trust store.
///
/// # Errors
/// A lost connection, or a store that this version cannot read.
pub fn fetch(client: &mut Client, methods: &Methods) -> Result<TrustStore> {
    match client.ask("cannot ask whom the daemon trusts", "ctl.trust-list", &())? {
        Value::Null => Ok(TrustStore::empty()),
        store => TrustStore::parse(&store.to_string(), methods)
            .map_err(|e| Trouble::new(Exit::Failed, "the daemon's trust store cannot be read").why(e)),
    }
}

fn put(client: &mut Client, store: &TrustStore) -> Result<()> {
    client.ask("the daemon did not take the trust store", "ctl.trust-set", store)
}

fn list(context: &Context, client: &mut Client, args: &ListArgs, methods: &Methods) -> Result<()> {
    let store = fetch(client, methods)?;
    if args.json {
        return context.ui.json(&store);
    }
    context.ui.table(
        &table(&store, &Ceiling::operator(methods)),
        "nobody is trusted: no contract is accepted. Make your key: pawang key new",
    )
}

fn table(store: &TrustStore, operator: &Ceiling) -> Table {
    let mut table = Table::new(&[
        ("name", Column::Left),
        ("key", Column::Left),
        ("gas", Column::Right),
        ("for", Column::Right),
        ("uses", Column::Right),
        ("may grant", Column::Elastic),
        ("until", Column::Left),
    ]);
    for entry in store.entries() {
        let allow: Vec<String> = entry.ceiling.allow.iter().map(ToString::to_string).collect();
        let may = match allow.len() {
            _ if entry.ceiling == *operator => "all that a contract can say".into(),
            0 => Cell::toned(Tone::Warn, "nothing"),
            1..=3 => allow.join("; ").into(),
            n => format!(
                "{}; and {} more (--json shows all)",
                allow.first().cloned().unwrap_or_default(),
                n - 1
            )
            .into(),
        };
        table.row([
            entry.name.clone().into(),
            format!("{}…", entry.key.short()).into(),
            entry.ceiling.gas.to_string().into(),
            units::span(entry.ceiling.ttl_s).into(),
            pawang_protocol::Gas(u64::from(entry.ceiling.uses)).to_string().into(),
            may,
            entry.not_after.map_or_else(|| "removed".to_owned(), units::utc).into(),
        ]);
    }
    table
}

fn add(context: &Context, client: &mut Client, args: &AddArgs, methods: &Methods) -> Result<()> {
    let ceiling = match &args.ceiling {
        Some(path) => read_ceiling(path)?,
        None => Ceiling::operator(methods),
    };
    let not_after = match args.days {
        Some(days) => {
            let now = crate::command::info(client)?.now;
            Some(now.saturating_add(u64::from(days).saturating_mul(86_400)))
        }
        None => None,
    };
    let mut store = fetch(client, methods)?;
    let purposes = vec![Purpose::Contract];
    let entry = TrustEntry { key: args.key, name: args.name.clone(), purposes, not_after, ceiling };
    store.add(entry, methods).map_err(|e| {
        Trouble::new(Exit::Refused, format!("{} is not trusted", args.name))
            .why(e)
            .hint("see: pawang trust list")
    })?;
    put(client, &store)?;
    let until = not_after.map(|at| format!(" until {}", units::utc(at))).unwrap_or_default();
    context.ui.done(&format!("contracts signed by {:?} are accepted up to its ceiling{until}", args.name));
    Ok(())
}

fn remove(context: &Context, client: &mut Client, args: &RemoveArgs, methods: &Methods) -> Result<()> {
    let mut store = fetch(client, methods)?;
    if !store.remove(&args.key) {
        return Err(Trouble::new(
            Exit::NotFound,
            format!("nobody is trusted by the name or key {}", args.key),
        )
        .hint("see: pawang trust list"));
    }
    put(client, &store)?;
    context.ui.done(&format!("contracts signed by {:?} are no longer accepted", args.key));
    Ok(())
}

fn read_ceiling(path: &std::path::Path) -> Result<Ceiling> {
    let refuse = |why: String| {
        Trouble::new(Exit::Refused, format!("{} is not a ceiling", path.display()))
            .why(why)
            .hint("an example: pawang trust add --help")
    };
    let text = String::from_utf8(read_file(path, CEILING_MAX)?).map_err(|e| refuse(e.to_string()))?;
    toml::from_str(&text).map_err(|e| refuse(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::read_ceiling;
    use crate::exit::Exit;
    use pawang_protocol::Gas;
    use std::fs;

    #[test]
    fn f01_what_a_ceiling_leaves_out_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ceiling.toml");
        fs::write(&path, "gas = 5\nallow = [{ call = \"fs.read\", path = \"/srv/**\" }]\n").unwrap();
        let ceiling = read_ceiling(&path).unwrap();
        assert_eq!((ceiling.gas, ceiling.ttl_s, ceiling.uses, ceiling.allow.len()), (Gas(5), 0, 0, 1));
        assert_eq!(ceiling.limits.wall_s, 0);
    }

    #[test]
    fn the_example_is_a_ceiling() {
        let text = super::CEILING_EXAMPLE.strip_prefix("A ceiling:\n").unwrap();
        let ceiling: pawang_core::trust::Ceiling = toml::from_str(text).unwrap();
        assert_eq!((ceiling.gas, ceiling.limits.tmp_mib, ceiling.secrets.len()), (Gas(10_000), 16, 1));
    }

    #[test]
    fn f02_a_ceiling_with_a_word_nobody_knows_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ceiling.toml");
        for text in ["gaz = 5", "gas = -1", "gas = 5.0", "allow = [{ call = \"fs.read\", path = \"rel\" }]"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_ceiling(&path).unwrap_err().exit, Exit::Refused, "{text}");
        }
    }
}

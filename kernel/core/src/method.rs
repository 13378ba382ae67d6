//! What can be called and what it costs: the price table, version 1.
//!
//! The table is data (`prices.toml`), compiled in, and named by its digest in every contract and log. A method that
//! is not in it has no price and is refused. Ids are positions in the table, so looking one up is indexing an array.

use pawang_protocol::{Gas, MethodName};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The bytes of the table; their SHA-256 is its name.
const SOURCE: &str = include_str!("prices.toml");

/// Position of a method in the table; the number it has on every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MethodId(pub u32);

/// What kind of thing a method's resource is, and so how it is made canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// An absolute path.
    Path,
    /// Two absolute paths, from and to, with a NUL between.
    PathPair,
    /// An HTTP method, a space and a URL.
    Http,
    /// A command line: its words with a NUL between each.
    Argv,
    /// Plain names, separated by `/`.
    Name,
    /// Nothing: the empty string.
    None,
}

/// What one call costs: `base`, and `per` for each started `unit` bytes of data in either direction; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Gas per call.
    pub base: u64,
    /// Gas per started unit.
    pub per: u64,
    /// Bytes in a unit, at least 1.
    pub unit: u64,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Method {
    /// Its name.
    pub name: MethodName,
    /// What its resource is.
    pub resource: ResourceKind,
    /// What it costs.
    pub price: Price,
    /// How long one call may take, in ms.
    pub deadline_ms: u64,
}

/// The whole table.
#[derive(Debug, Clone)]
pub struct Methods {
    rows: Vec<Method>,
    by_name: BTreeMap<String, MethodId>,
    /// Gas for a denial or a malformed call.
    pub denial: Gas,
    /// Gas per ms of an automation's CPU time.
    pub cpu_ms: Gas,
    /// SHA-256 of the table's bytes.
    pub digest: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableSource {
    version: u32,
    denial: u64,
    cpu_ms: u64,
    method: BTreeMap<MethodName, RowSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowSource {
    base: u64,
    per: u64,
    unit: u64,
    resource: ResourceKind,
    deadline_s: u64,
}

impl Price {
    /// Gas for a call that moved `bytes` of data. Holds at the top instead of wrapping.
    #[must_use]
    pub const fn of(&self, bytes: u64) -> Gas {
        let units = bytes.div_ceil(self.unit);
        let gas = self.base.saturating_add(self.per.saturating_mul(units));
        Gas(if gas == 0 { 1 } else { gas })
    }

    /// Whether the price grows with the data moved.
    #[must_use]
    pub const fn grows(&self) -> bool {
        self.per > 0
    }
}

impl Methods {
    /// The table compiled into this kernel.
    ///
    /// # Errors
    /// The text of what is wrong with the compiled-in file; a test holds that there is nothing.
    pub fn builtin() -> Result<Self, String> {
        let source: TableSource = toml::from_str(SOURCE).map_err(|e| e.to_string())?;
        if source.version != 1 || source.denial == 0 || source.cpu_ms == 0 {
            return Err("prices.toml: version must be 1; denial and cpu_ms must be at least 1".to_owned());
        }
        let mut rows = Vec::with_capacity(source.method.len());
        let mut by_name = BTreeMap::new();
        for (name, row) in source.method {
            if row.unit == 0 || row.deadline_s == 0 {
                return Err(format!("prices.toml: {name}: unit and deadline_s must be at least 1"));
            }
            let id = u32::try_from(rows.len()).map_err(|e| e.to_string())?;
            by_name.insert(name.as_str().to_owned(), MethodId(id));
            rows.push(Method {
                name,
                resource: row.resource,
                price: Price { base: row.base, per: row.per, unit: row.unit },
                deadline_ms: row.deadline_s.saturating_mul(1_000),
            });
        }
        Ok(Self {
            rows,
            by_name,
            denial: Gas(source.denial),
            cpu_ms: Gas(source.cpu_ms),
            digest: Sha256::digest(SOURCE.as_bytes()).into(),
        })
    }

    /// The method with this number, as a peer sent it.
    #[must_use]
    pub fn get(&self, id: MethodId) -> Option<&Method> {
        usize::try_from(id.0).ok().and_then(|index| self.rows.get(index))
    }

    /// The number of a method.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<MethodId> {
        self.by_name.get(name).copied()
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (MethodId, &Method)> {
        (0..).map(MethodId).zip(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::{Methods, Price};
    use pawang_protocol::Gas;

    #[test]
    fn the_builtin_table_is_sound_and_numbers_follow_names() {
        let methods = Methods::builtin().unwrap();
        for (id, method) in methods.iter() {
            assert_eq!(methods.id(method.name.as_str()), Some(id));
        }
        assert!(methods.id("fs.format").is_none());
    }

    #[test]
    fn f69_price_counts_started_units_and_is_never_free() {
        let price = Price { base: 15, per: 1, unit: 16 };
        for (bytes, gas) in [(0, 15), (1, 16), (16, 16), (17, 17)] {
            assert_eq!(price.of(bytes), Gas(gas));
        }
        assert_eq!(Price { base: 0, per: 1, unit: 1024 }.of(0), Gas(1));
        assert_eq!(Price { base: 9, per: u64::MAX, unit: 1 }.of(u64::MAX), Gas(u64::MAX));
    }
}

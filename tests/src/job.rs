//! A contract's source, written a rule at a time.

use std::fmt::Write as _;

/// Plenty for any test that is not about gas.
const GAS: u64 = 1_000_000;

/// What a test's automation may do. Starts with nothing but gas, one use and an hour.
#[derive(Debug, Clone)]
pub struct Job {
    head: String,
    gas: u64,
    each: String,
    rules: String,
    limits: String,
}

impl Job {
    /// A contract of this name that grants nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let head = format!("contract = 1\nname = \"{name}\"\nttl = \"1h\"\n");
        Self { head, gas: GAS, each: String::new(), rules: String::new(), limits: String::new() }
    }

    /// So much gas and no more.
    #[must_use]
    pub fn gas(mut self, gas: u64) -> Self {
        self.gas = gas;
        self
    }

    /// A sub-ceiling of gas.
    #[must_use]
    pub fn each(mut self, methods: &str, gas: u64) -> Self {
        let _ = write!(self.each, "\"{methods}\" = {gas}, ");
        self
    }

    /// So many runs.
    #[must_use]
    pub fn uses(mut self, uses: u32) -> Self {
        let _ = writeln!(self.head, "uses = {uses}");
        self
    }

    /// A further line before the first table, such as `files = [...]`.
    #[must_use]
    pub fn head(mut self, line: &str) -> Self {
        let _ = writeln!(self.head, "{line}");
        self
    }

    /// Grants a method on a path, such as `/input/**`.
    #[must_use]
    pub fn path(self, call: &str, path: &str) -> Self {
        self.rule("allow", call, "path", path)
    }

    /// Grants a method that has another kind of resource.
    #[must_use]
    pub fn allow(self, call: &str, kind: &str, pattern: &str) -> Self {
        self.rule("allow", call, kind, pattern)
    }

    /// Grants `exec.run` on a command line, word by word.
    #[must_use]
    pub fn exec(mut self, words: &[&str]) -> Self {
        let _ = write!(self.rules, "[[allow]]\ncall = \"exec.run\"\nargv = {words:?}\n");
        self
    }

    /// Denies it on a path.
    #[must_use]
    pub fn deny(self, call: &str, path: &str) -> Self {
        self.rule("deny", call, "path", path)
    }

    /// Grants a method that is about nothing.
    #[must_use]
    pub fn plain(mut self, call: &str) -> Self {
        let _ = write!(self.rules, "[[allow]]\ncall = \"{call}\"\n");
        self
    }

    /// A further line of the last rule, such as `max_calls = 3`.
    #[must_use]
    pub fn more(mut self, line: &str) -> Self {
        let _ = writeln!(self.rules, "{line}");
        self
    }

    /// Binds a secret to a destination.
    #[must_use]
    pub fn secret(mut self, name: &str, to: &str, place: &str) -> Self {
        let _ = write!(self.rules, "[[secret]]\nname = \"{name}\"\nto = \"{to}\"\nas = \"{place}\"\n");
        self
    }

    /// A limit, such as `processes`.
    #[must_use]
    pub fn limit(mut self, name: &str, value: u32) -> Self {
        let _ = writeln!(self.limits, "{name} = {value}");
        self
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> String {
        let Self { head, gas, each, rules, limits } = self;
        let each = each.trim_end_matches(", ");
        format!("{head}[gas]\nlimit = {gas}\neach = {{ {each} }}\n{rules}[limits]\n{limits}")
    }

    fn rule(mut self, kind: &str, call: &str, key: &str, pattern: &str) -> Self {
        let _ = write!(self.rules, "[[{kind}]]\ncall = \"{call}\"\n{key} = \"{pattern}\"\n");
        self
    }
}

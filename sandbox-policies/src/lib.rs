//! Policies as data, and the launcher that confines a process under them.

//! What `pawang doctor` shows about the sandbox.
//!
//! A machine without the floor fails here, with one line, and everything else in these tests fails after it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use pawang_sandbox::{Wall, Walls, probe_machine};
use support::launcher_path;

#[test]
fn this_machine_has_the_floor() {
    let machine = probe_machine(&launcher_path()).unwrap();
    assert!(machine.has_floor(), "no process can be started here; found only: {}", machine.walls);
    assert!(machine.landlock_abi >= 2);
}

#[test]
fn every_wall_has_a_row_and_what_is_missing_says_what_is_lost() {
    let machine = probe_machine(&launcher_path()).unwrap();
    for wall in Wall::ALL {
        let row = machine.findings.iter().find(|row| row.name == wall.name()).unwrap();
        assert_eq!((row.good, row.required), (machine.walls.has(wall), Walls::FLOOR.has(wall)), "{row:?}");
    }
    for row in &machine.findings {
        assert_eq!(row.good, row.lost.is_empty(), "{row:?}");
    }
}

//! The probe: one hostile act per sub-command.
fn main() {
    println!("hello");
}

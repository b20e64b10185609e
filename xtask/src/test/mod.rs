//! `cargo xtask test`: README's one test command.
//!
//! Builds every test program once, then runs it in each world that this machine can offer (ARCHITECTURE.md,
//! "Tests"): as root, as an ordinary user, as a user that /etc/passwd does not know, on a kernel with
//! nothing but cgroup v2, and on a machine that systemd runs. What cannot run is named with its reason.

pub mod packages;
mod programs;
mod tally;
mod worlds;

use crate::Outcome;
use tally::Tally;
use worlds::World;

/// Runs the tests; an error when one failed.
pub fn main(words: &[String]) -> Outcome {
    let choice = Choice::parse(words)?;
    packages::install_musl()?;
    packages::install_missing();
    let programs = programs::build()?;
    let mut tallies = Vec::new();
    for world in World::ALL.into_iter().filter(|world| choice.wants(*world)) {
        let mut tally = Tally::new(world.name());
        match world.missing() {
            Some(reason) => tally.skip_world(&reason),
            None => world.run(&programs, choice.filter.as_deref(), &mut tally)?,
        }
        tallies.push(tally);
    }
    tally::summarise(&tallies)
}

/// What the words of the command line ask for.
#[derive(Default)]
struct Choice {
    world: Option<World>,
    filter: Option<String>,
}

impl Choice {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut choice = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--world" {
                let name = words.next().ok_or("--world needs a name")?;
                let world = World::ALL.into_iter().find(|world| world.name() == name);
                let names = World::ALL.map(World::name).join(", ");
                choice.world = Some(world.ok_or(format!("there is no world {name:?}, but {names}"))?);
            } else if word.starts_with('-') {
                return Err(format!("{word} is no flag of: cargo xtask test [--world NAME] [FILTER]"));
            } else {
                choice.filter = Some(word.clone());
            }
        }
        Ok(choice)
    }

    fn wants(&self, world: World) -> bool {
        self.world.is_none_or(|wanted| wanted == world)
    }
}

//! One life of a relay: the relay itself, its log, two replays that follow the log, and the laws' own books beside it.

use crate::books::Books;
use crate::event::Event;
use crate::kit::{NOW, methods, prices};
use crate::offers::Offer;
use crate::rng::Rng;
use crate::tally::Tally;
use crate::wires::Wires;
use pawang_core::digest::Digest;
use pawang_core::ledger::Account;
use pawang_core::method::Methods;
use pawang_core::record::Entry;
use pawang_core::relay::{Effect, Now, Relay};
use pawang_core::replay::{Replay, Restored};
use pawang_core::run::{PeerId, RunId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub struct World {
    pub seed: u64,
    pub step: u64,
    pub rng: Rng,
    pub relay: Relay,
    pub now: Now,
    pub methods: Arc<Methods>,
    pub wires: Wires,
    pub books: Books,
    /// The contract each run has, to mint from.
    pub offers: HashMap<RunId, Offer>,
    /// Last id used on each channel.
    pub last_id: HashMap<PeerId, u64>,
    pub next_run: u32,
    /// The kernel dies in the middle of this step: of the records to come only so many are written, and nothing is done.
    pub dies_after: Option<u64>,
    pub is_told: bool,
    pub temper: Temper,
    pub tally: Tally,
    log: Vec<Entry>,
    /// Where the last segment begins in the log.
    segment: usize,
    /// Follows the log from its beginning, and from the last snapshot.
    replays: [Replay; 2],
    /// What was spent of each contract when it was last looked at.
    spent: BTreeMap<Digest, u64>,
}

/// What this life is like. Each life is good at something else: what is rare everywhere would never meet itself.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    /// How often a tool crashes, lies, stalls, and answers at once; how often the operator and fate step in.
    pub crash: u64,
    pub lie: u64,
    pub stall: u64,
    pub answer: u64,
    pub fate: u64,
}

impl Temper {
    fn draw(rng: &mut Rng) -> Self {
        let mut one_of = |weights: [u64; 4]| weights[usize::try_from(rng.below(4)).unwrap()];
        Self {
            crash: one_of([0, 1, 2, 40]),
            lie: one_of([0, 1, 2, 20]),
            stall: one_of([0, 5, 20, 100]),
            answer: one_of([40, 60, 100, 100]),
            fate: one_of([0, 1, 1, 3]),
        }
    }
}

impl World {
    pub fn new(seed: u64, is_told: bool) -> Self {
        let methods = Arc::new(methods());
        let mut rng = Rng::new(seed);
        let mut world = Self {
            seed,
            step: 0,
            temper: Temper::draw(&mut rng),
            rng,
            relay: Relay::new(Arc::clone(&methods), BTreeMap::new(), BTreeSet::new(), 1),
            now: Now { us: 1_000_000, unix_s: NOW },
            wires: Wires::new(Arc::clone(&methods)),
            books: Books::default(),
            offers: HashMap::new(),
            last_id: HashMap::new(),
            next_run: 1,
            dies_after: None,
            is_told,
            tally: Tally::default(),
            log: Vec::new(),
            segment: 0,
            replays: [Replay::default(), Replay::default()],
            spent: BTreeMap::new(),
            methods,
        };
        world.rotate(false);
        world
    }

    /// Lets something happen, and holds what comes of it against every law.
    pub fn happen<T>(&mut self, event: Event, act: impl FnOnce(&mut Relay, Now, &mut Vec<Effect>) -> T) -> T {
        let mut out = Vec::new();
        let outcome = act(&mut self.relay, self.now, &mut out);
        if self.is_told {
            println!("{} {event:?} -> {out:#?}", self.step);
        }
        if let Some(left) = self.dies_after {
            self.dying(left, out);
            return outcome;
        }
        self.wires.event(&event);
        self.wires.effects(&event, &out, self.now.us);
        for effect in out {
            if let Effect::Record(entry) = effect {
                self.write(entry);
            }
        }
        self.look();
        outcome
    }

    /// A record reaches the log.
    fn write(&mut self, entry: Entry) {
        self.tally.count(&entry);
        self.books.record(&entry);
        for replay in &mut self.replays {
            if let Err(what) = replay.entry(&entry) {
                panic!("a record that {what}: {entry:?}");
            }
        }
        self.log.push(entry);
    }

    /// Of what comes of the last event, the kernel writes some records and does nothing.
    fn dying(&mut self, left: u64, out: Vec<Effect>) {
        let mut left = left;
        for effect in out {
            if let Effect::Record(entry) = effect
                && left > 0
            {
                left -= 1;
                self.write(entry);
            }
        }
        self.dies_after = Some(0);
    }

    /// The laws of DESIGN §6 that hold between any two events.
    fn look(&mut self) {
        assert!(
            self.relay.is_lawful(),
            "INV-3 granted = free + reserved + spent, and each reservation is someone's"
        );
        for replay in &self.replays {
            assert!(
                replay.accounts() == self.relay.accounts(),
                "INV-5 the log says something else than the ledger"
            );
        }
        for (contract, account) in self.relay.accounts() {
            let spent = self.spent.entry(*contract).or_default();
            assert!(account.spent().0 >= *spent, "f70 spent gas came back");
            *spent = account.spent().0;
        }
    }

    /// A new segment: its snapshot alone must say as much as all that came before it.
    pub fn rotate(&mut self, forgets: bool) {
        let unix_s = self.now.unix_s;
        let mut out = Vec::new();
        if forgets {
            self.relay.forget_expired(unix_s, &mut out);
        }
        for effect in out {
            let Effect::Record(entry) = effect else { panic!("{effect:?} for an expired contract") };
            self.write(entry);
        }
        // Accounts are compared after the snapshot only: it is what tells of the forgotten ones.
        self.begin_segment();
        self.look();
    }

    fn begin_segment(&mut self) {
        let snapshot = Entry::Snapshot {
            key: crate::kit::key("daemon").to_string(),
            prices: prices(),
            accounts: self.relay.accounts().clone(),
            revoked: self.relay.revoked().iter().copied().collect(),
            trust: serde_json::Value::Null,
            next_call: self.relay.next_call(),
            live: self.relay.live(),
        };
        // Reading JSON is what takes longest here.
        if self.rng.once_in(8) {
            let json = serde_json::to_string(&snapshot).unwrap();
            assert_eq!(
                serde_json::from_str::<Entry>(&json).unwrap(),
                snapshot,
                "a snapshot survives its file"
            );
        }
        self.segment = self.log.len();
        self.replays[1] = Replay::default();
        self.write(snapshot);
    }

    /// Kill -9 and a new start: what the log says is all there is.
    pub fn restart(&mut self) {
        let is_clean = self.dies_after.take().is_none();
        let before = self.relay.accounts().clone();
        let restored = self.replayed(0);
        let from_segment = self.replayed(self.segment);
        let state = |r: &Restored| (r.accounts.clone(), r.revoked.clone(), r.lost.clone(), r.next_call);
        assert!(state(&restored) == state(&from_segment), "a snapshot says as much as all before it");
        assert!(restored.next_call > self.books.highest_call(), "a call number is used again");
        if is_clean {
            assert_eq!(restored.accounts.keys().len(), before.len());
            restored.accounts.iter().for_each(|(contract, account)| is_no_richer(account, &before[contract]));
        }
        self.books.crash();
        let Restored { mut accounts, revoked, lost, next_call, .. } = restored;
        accounts.retain(|_, account| account.not_after() > self.now.unix_s);
        self.relay = Relay::new(Arc::clone(&self.methods), accounts, revoked, next_call);
        self.wires = Wires::new(Arc::clone(&self.methods));
        self.offers.clear();
        self.last_id.clear();
        self.begin_segment();
        self.write(Entry::Boot { version: "0".to_owned(), lost });
        self.look();
    }

    fn replayed(&self, from: usize) -> Restored {
        let mut replay = Replay::default();
        for entry in &self.log[from..] {
            replay.entry(entry).unwrap();
        }
        replay.finish()
    }
}

/// f70: a restart gives nothing back, and takes nothing but what was set aside.
fn is_no_richer(after: &Account, before: &Account) {
    assert!(after.is_lawful());
    assert_eq!((after.granted(), after.free()), (before.granted(), before.free()), "f70 a restart moves gas");
    assert_eq!(after.spent().0, before.spent().0 + before.reserved().0, "f70 what was unsettled is spent");
    assert_eq!(after.uses_left(), before.uses_left(), "f60 a restart gives a use back");
    // Grants without calls left are the same ones: taking one call more tells.
    assert_eq!(after.calls(), before.calls(), "a restart gives counted calls back");
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "\nPAWANG_SEED={} cargo test -p pawang-core --test simulator   # fails at step {}",
                self.seed, self.step
            );
        }
    }
}

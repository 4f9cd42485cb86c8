//! Runs the tasks of a world one poll at a time, in an order that the seed decides.
//!
//! Tasks of the service die together when its process does; the others (site, payers, provider) live on.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use super::chance::Chance;

/// Who a task belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// The process of the service.
    Service,
    /// Everybody else.
    World,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is ready to be polled, and who sleeps until something is.
#[derive(Default)]
struct Ready {
    ids: Mutex<Vec<u64>>,
    sleeper: Mutex<Option<Waker>>,
}

/// Marks one task as ready.
struct Bell {
    id: u64,
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            lock(&self.ready.ids).push(self.id);
            if let Some(sleeper) = lock(&self.ready.sleeper).take() {
                sleeper.wake();
            }
        }
    }
}

struct Task {
    group: Group,
    work: Work,
    bell: Arc<Bell>,
}

/// Starts tasks from inside others.
#[derive(Clone, Default)]
pub(super) struct Spawner(Arc<Mutex<Vec<(Group, Work)>>>);

impl Spawner {
    pub(super) fn spawn(&self, group: Group, work: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0).push((group, Box::pin(work)));
    }
}

/// The tasks of a world.
#[derive(Default)]
pub(super) struct Executor {
    tasks: BTreeMap<u64, Task>,
    next_id: u64,
    ready: Arc<Ready>,
    spawner: Spawner,
}

impl Executor {
    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Takes in what was started, and tells how many tasks can be polled.
    pub(super) fn ready(&mut self) -> usize {
        let started = std::mem::take(&mut *lock(&self.spawner.0));
        for (group, work) in started {
            self.next_id += 1;
            let bell =
                Arc::new(Bell { id: self.next_id, rung: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
            bell.wake_by_ref();
            self.tasks.insert(self.next_id, Task { group, work, bell });
        }
        lock(&self.ready.ids).len()
    }

    /// Polls one of the tasks that can be.
    pub(super) fn poll_one(&mut self, chance: &mut Chance) {
        let id = {
            let mut ids = lock(&self.ready.ids);
            if ids.is_empty() {
                return;
            }
            let index = chance.below(ids.len());
            ids.swap_remove(index)
        };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.bell.rung.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.bell));
        if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&id);
        }
    }

    /// Wakes `sleeper` when a task can be polled again.
    pub(super) fn sleep(&self, sleeper: &Waker) {
        *lock(&self.ready.sleeper) = Some(sleeper.clone());
    }

    /// Ends all tasks of a group where they stand.
    pub(super) fn kill(&mut self, group: Group) {
        self.ready();
        let (dying, living) = std::mem::take(&mut self.tasks).into_iter().partition(|(_, task)| task.group == group);
        self.tasks = living;
        // Dropped last: what they drop may ring bells.
        drop::<BTreeMap<u64, Task>>(dying);
    }
}

/// A lock that only one thread ever takes.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Reception: listeners in, sessions driven, every decision asked of the [`Gate`].
//!
//! One task per connection: read, feed [`Session`], drain its actions, write. What a connection
//! costs while it is idle is its task and its socket: octets are read into a buffer of the thread,
//! never of the connection.
//!
//! **Invariant:** a panic ends one connection; its place, its octets and its descriptor come back
//! because they are values of its task.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, timeout};

use super::tap::Ear;
use super::wire::{Clock, Octets, Share, Wire, with_scratch};
use crate::base::limits::{LINGER_TIMEOUT, TLS_HANDSHAKE_TIMEOUT};
use crate::base::time::Instant;
use crate::config::checked::{Config, ConnectionLimits, Listener, ListenerKind};
use crate::mail::source::{Deadlines, SourceName};
use crate::net::listen::{Door, Full, Place, Places, tell_busy};
use crate::net::tls::{ServerTls, fresh_secret};
use crate::smtp::replies;
use crate::smtp::reply::{Refusal, Reply};
use crate::smtp::server::ask::{Question, Verdict};
use crate::smtp::server::{Action, Ending, Session, Tally, Terms, TlsFacts};

/// Who decides. Implemented by `service/admit.rs`, and by tests.
pub trait Gate: Send + Sync + 'static {
    /// What the gate remembers of one connection: peer, source, rate tokens. Dropped without
    /// [`Gate::close`] only if the task of the connection panicked.
    type Visitor: Send + 'static;

    /// A connection was accepted and has its place.
    ///
    /// # Errors
    /// What the peer hears instead of a greeting.
    fn open(&self, peer: SocketAddr, listener: &Arc<Listener>) -> Result<Self::Visitor, Reply>;

    /// TLS is on; `facts` carry the hash of the client's key, if it showed a certificate. What
    /// was known about the visitor from AUTH is forgotten (there was none: AUTH needs TLS).
    fn tls(&self, visitor: &mut Self::Visitor, facts: &TlsFacts);

    /// Answers a question of the session. Must come back in bounded time.
    fn decide(
        &self,
        visitor: &mut Self::Visitor,
        question: Question,
    ) -> impl Future<Output = Verdict> + Send;

    /// After the bell rang: is this visitor's source still welcome, also in the middle of a
    /// transaction? Cheap; called once per connection and ring.
    ///
    /// # Errors
    /// What the peer hears before the connection ends (421).
    fn still_welcome(&self, visitor: &Self::Visitor) -> Result<(), Reply>;

    /// An ear for the visitor, if somebody traces and may mean it.
    fn ear(&self, _visitor: &Self::Visitor) -> Option<Box<Ear>> {
        None
    }

    /// The visitor's source, once it is known.
    fn source_of<'v>(&self, _visitor: &'v Self::Visitor) -> Option<&'v SourceName> {
        None
    }

    /// The connection ended.
    fn close(&self, visitor: Self::Visitor, tally: Tally, ending: Ending);

    /// A connection was turned away because a ceiling was reached.
    fn turned_away(&self, peer: SocketAddr, listener: &Arc<Listener>, full: Full);
}

/// How far shutdown is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shift {
    /// Everybody may come.
    #[default]
    Open,
    /// Nobody new; transactions in hand may end.
    LastOrders,
    /// Everybody hears 421 now.
    Closed,
}

/// What all sessions listen to. Ring it (`watch::Sender::send_modify`) whenever a source is
/// disabled, everything is stopped, or shutdown goes a step further; each session then looks at
/// `shift` and asks [`Gate::still_welcome`]. A sender that is gone means `Closed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bell {
    /// How far shutdown is.
    pub shift: Shift,
    /// Counts the switches that were thrown.
    pub switches: u64,
}

/// What a reload may change for new connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct House {
    /// The gateway's name.
    pub hostname: Box<str>,
    /// SIZE.
    pub message_octets_max: u64,
    /// Recipients of one transaction.
    pub recipients_max: usize,
    /// Some source may set deadlines (RFC 2852).
    pub deadlines: bool,
    /// Ceilings for connections.
    pub connections: ConnectionLimits,
}

impl House {
    /// The part of a configuration that reception needs.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            hostname: config.hostname.as_str().into(),
            message_octets_max: config.message_octets_max,
            recipients_max: config.recipients_max,
            deadlines: config.sources.values().any(|s| s.deliver_by != Deadlines::Refuse),
            connections: config.connections,
        }
    }
}

/// All listeners and their sessions.
pub struct Reception<G: Gate> {
    gate: Arc<G>,
    tls: Option<Arc<ServerTls>>,
    house: ArcSwap<House>,
    places: Arc<Places>,
    octets: Arc<Octets>,
    bell: watch::Receiver<Bell>,
    clock: Clock,
}

impl<G: Gate> Reception<G> {
    /// A reception that asks `gate` and obeys `bell`. Without `tls` there is no STARTTLS.
    #[must_use]
    pub fn new(
        house: House,
        gate: Arc<G>,
        tls: Option<Arc<ServerTls>>,
        bell: watch::Receiver<Bell>,
    ) -> Arc<Self> {
        let places = Places::new(house.connections);
        Arc::new(Self {
            gate,
            tls,
            house: ArcSwap::from_pointee(house),
            places,
            octets: Arc::default(),
            bell,
            clock: Clock::start(),
        })
    }

    /// A reload: holds for connections from now on.
    pub fn renovate(&self, house: House) {
        self.places.set_limits(house.connections);
        self.house.store(Arc::new(house));
    }

    /// Connections at this moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.places.taken()
    }

    /// Octets of content that sessions hold at this moment.
    #[must_use]
    pub fn octets_held(&self) -> usize {
        self.octets.held()
    }

    /// Accepts on all doors until the bell says `LastOrders`, then waits until the last session
    /// has ended. Sessions end in bounded time once the bell says `Closed`.
    pub async fn run(self: Arc<Self>, doors: Vec<Door>) {
        // Nothing is ever sent: the channel closes when the last task has dropped its end.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        for door in doors {
            tokio::spawn(self.clone().receive(door, alive.clone()));
        }
        drop(alive);
        all_gone.recv().await;
    }

    async fn receive(self: Arc<Self>, mut door: Door, alive: mpsc::Sender<()>) {
        let mut bell = self.bell.clone();
        loop {
            tokio::select! {
                biased;
                () = closing_time(&mut bell) => return,
                (stream, peer) = door.accept() => {
                    self.welcome(stream, peer, &door.listener, &alive);
                }
            }
        }
    }

    fn welcome(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        listener: &Arc<Listener>,
        alive: &mpsc::Sender<()>,
    ) {
        let place = match self.places.take(peer.ip()) {
            Ok(place) => place,
            Err(full) => {
                let busy = [&replies::BUSY, &replies::BUSY_ADDRESS];
                tell_busy(&stream, listener, busy[usize::from(full == Full::Address)]);
                return self.gate.turned_away(peer, listener, full);
            }
        };
        match self.gate.open(peer, listener) {
            Err(reply) => tell_busy(&stream, listener, &reply),
            Ok(visitor) => {
                let (house, listener) = (self.clone(), listener.clone());
                let alive = alive.clone();
                tokio::spawn(async move {
                    let _kept: (Place, mpsc::Sender<()>) = (place, alive);
                    house.attend(stream, peer, listener, visitor).await;
                });
            }
        }
    }

    /// One connection from its first octet to its last.
    async fn attend(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        listener: Arc<Listener>,
        mut visitor: G::Visitor,
    ) {
        // Replies are small and awaited: Nagle would only delay them.
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::Plain(stream);
        let mut ear = self.gate.ear(&visitor);
        let mut facts = None;
        if listener.kind == ListenerKind::Submissions {
            facts = self.shake_hands(&mut wire, &mut visitor).await;
            if facts.is_none() {
                return self.gate.close(visitor, Tally::default(), Ending::Broken);
            }
        }
        let Some(seed) = fresh_secret() else {
            return self.gate.close(visitor, Tally::default(), Ending::Broken);
        };
        if let (Some(ear), Some(facts)) = (&mut ear, &facts) {
            ear.encrypted(&format!("{} {}", facts.version, facts.suite));
        }
        let session = Session::new(self.terms(&listener), peer, facts, seed, self.clock.now());
        let mut desk = Desk {
            reception: self,
            session,
            wire,
            visitor,
            share: Share::of(&self.octets),
            bell: self.bell.clone(),
            ear,
        };
        let ending = desk.serve().await;
        if let Some(ear) = &mut desk.ear {
            ear.remark(&format!("the session ends: {ending:?}"));
        }
        let Desk { session, mut wire, visitor, share, bell, .. } = desk;
        // The task lingers with as little as possible.
        drop((share, bell));
        self.gate.close(visitor, session.tally(), ending);
        drop(session);
        let awaited = !matches!(ending, Ending::Vanished | Ending::Broken);
        if awaited {
            // A peer that does not care for our goodbye changes nothing.
            let _ = timeout(LINGER_TIMEOUT, wire.part(ending != Ending::Quit)).await;
        }
    }

    fn terms(&self, listener: &Listener) -> Arc<Terms> {
        let house = self.house.load();
        Arc::new(Terms {
            hostname: house.hostname.clone(),
            message_octets_max: house.message_octets_max,
            recipients_max: house.recipients_max,
            // Without TLS there is no AUTH: nobody can show that they are somebody else.
            tls_offered: self.tls.is_some() && listener.kind != ListenerKind::Health,
            tls_required: !listener.clear_text,
            deadlines: house.deadlines,
        })
    }

    async fn shake_hands(&self, wire: &mut Wire, visitor: &mut G::Visitor) -> Option<TlsFacts> {
        let acceptor = self.tls.as_ref()?.acceptor();
        let facts = timeout(TLS_HANDSHAKE_TIMEOUT, wire.shake_hands(acceptor)).await.ok()??;
        self.gate.tls(visitor, &facts);
        Some(facts)
    }
}

/// Returns when nobody new may come.
async fn closing_time(bell: &mut watch::Receiver<Bell>) {
    // An error means that the sender is gone, which is closing time too.
    let _ = bell.wait_for(|bell| bell.shift > Shift::Open).await;
}

/// What woke a session up.
enum Wake {
    Octets,
    Vanished,
    Broken,
    Bell,
    Timeout,
}

/// One session with everything around it.
struct Desk<'a, G: Gate> {
    reception: &'a Reception<G>,
    session: Session,
    wire: Wire,
    visitor: G::Visitor,
    share: Share,
    bell: watch::Receiver<Bell>,
    /// Somebody traces, and may mean this session.
    ear: Option<Box<Ear>>,
}

impl<G: Gate> Desk<'_, G> {
    async fn serve(&mut self) -> Ending {
        self.look_at_bell();
        let sleep = tokio::time::sleep_until(self.reception.clock.real(Instant::default()));
        tokio::pin!(sleep);
        loop {
            while let Some(action) = self.session.poll_action() {
                if let ControlFlow::Break(ending) = self.act(action).await {
                    return ending;
                }
            }
            self.weigh();
            let Some(deadline) = self.session.poll_timeout() else { return Ending::Broken };
            let deadline = self.reception.clock.real(deadline);
            // Deadlines mostly move on: the timer is set again when it is late, or has fired.
            if sleep.is_elapsed() || deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            match self.wait(sleep.as_mut()).await {
                Wake::Octets => {}
                Wake::Vanished => self.session.handle_vanished(),
                Wake::Broken => return Ending::Broken,
                Wake::Bell => self.look_at_bell(),
                Wake::Timeout => self.session.handle_timeout(self.reception.clock.now()),
            }
        }
    }

    async fn act(&mut self, action: Action) -> ControlFlow<Ending> {
        match action {
            Action::Send(octets) => {
                if let Some(ear) = &mut self.ear {
                    ear.server(&octets);
                }
                if self.wire.send(&octets).await.is_err() {
                    return ControlFlow::Break(Ending::Broken);
                }
            }
            Action::Ask(question) => {
                let verdict = self.decide(question).await;
                self.listen_on();
                self.session.handle_verdict(verdict, self.reception.clock.now());
                self.weigh();
            }
            Action::StartTls => {
                let hands = self.reception.shake_hands(&mut self.wire, &mut self.visitor);
                let Some(facts) = hands.await else { return ControlFlow::Break(Ending::Broken) };
                if let Some(ear) = &mut self.ear {
                    ear.encrypted(&format!("{} {}", facts.version, facts.suite));
                }
                self.session.handle_tls(facts, self.reception.clock.now());
            }
            Action::Close(ending) => return ControlFlow::Break(ending),
        }
        ControlFlow::Continue(())
    }

    async fn decide(&mut self, question: Question) -> Verdict {
        match &question {
            Question::Content { size } => {
                let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
                if !self.share.has_room(size) {
                    return Verdict::No(Refusal::new("reception-full", replies::SHORTAGE));
                }
            }
            // The content moves on with the question; it is weighed until the verdict is there.
            Question::Message(message) => {
                self.share.set(message.content.len());
            }
            _ => {}
        }
        self.reception.gate.decide(&mut self.visitor, question).await
    }

    /// Another source than the traced one is heard no longer.
    fn listen_on(&mut self) {
        let source = || self.reception.gate.source_of(&self.visitor);
        if self.ear.as_mut().is_some_and(|ear| !ear.identify(source())) {
            self.ear = None;
        }
    }

    /// Waits for octets, the bell, or the deadline, whichever comes first.
    async fn wait(&mut self, mut sleep: std::pin::Pin<&mut Sleep>) -> Wake {
        let Self { session, wire, share, bell, reception, ear, .. } = self;
        let clock = &reception.clock;
        tokio::select! {
            biased;
            _ = bell.changed() => Wake::Bell,
            wake = poll_fn(|cx| read(session, wire, share, clock, ear, cx)) => wake,
            () = sleep.as_mut() => Wake::Timeout,
        }
    }

    fn look_at_bell(&mut self) {
        let bell = *self.bell.borrow_and_update();
        let gone = self.bell.has_changed().is_err();
        if gone || bell.shift == Shift::Closed {
            self.session.handle_stop(replies::SHUTDOWN);
        } else if let Err(reply) = self.reception.gate.still_welcome(&self.visitor) {
            self.session.handle_stop(reply);
        } else if bell.shift == Shift::LastOrders {
            self.session.handle_last_orders(replies::SHUTDOWN);
        }
    }

    fn weigh(&mut self) {
        weigh(&mut self.session, &mut self.share);
    }
}

/// Tells the account of all sessions what this one holds; over the ceiling the content goes.
fn weigh(session: &mut Session, share: &mut Share) {
    let held = session.content_held();
    if !share.set(held) && held > 0 {
        session.handle_shortage();
        share.set(0);
    }
}

/// Reads until the session has something to do or the socket has nothing more.
fn read(
    session: &mut Session,
    wire: &mut Wire,
    share: &mut Share,
    clock: &Clock,
    ear: &mut Option<Box<Ear>>,
    cx: &mut Context<'_>,
) -> Poll<Wake> {
    loop {
        let read = with_scratch(|scratch| {
            let count = std::task::ready!(wire.poll_read(cx, scratch));
            if let Ok(count @ 1..) = count {
                if let Some(ear) = ear {
                    ear.client(&scratch[..count]);
                }
                session.handle_octets(&scratch[..count], clock.now());
            }
            Poll::Ready(count)
        });
        match std::task::ready!(read) {
            Ok(0) => return Poll::Ready(Wake::Vanished),
            Ok(_) => weigh(session, share),
            Err(_) => return Poll::Ready(Wake::Broken),
        }
        if session.has_action() {
            return Poll::Ready(Wake::Octets);
        }
    }
}

#[cfg(test)]
mod tests;

//! Notifications of the provider: verified, stored and applied in one durable step, and answered with a bare code.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use super::answer_check::{answer_check, code};
use super::attempts::Attempt;
use super::record::{Learned, Note, Recorder};
use super::resolve::{Traces, payment_of};
use super::{App, Caller, NotificationKind, NotificationRecord, NotificationReply, RawNotification};
use crate::clock::Timestamp;
use crate::cloudpayments::{self, Notification, NotificationFact};
use crate::domain::card_data::{contains_card_number, without_card_numbers};
use crate::domain::evidence::{Attention, Fact};
use crate::domain::id::{NotificationId, PaymentId};
use crate::domain::money::Currency;
use crate::domain::payment::Payment;
use crate::domain::state::CauseType;
use crate::error::{Conflict, Error, Result};
use crate::store::notifications::{self, Signed};
use crate::store::outlines::Outline;
use crate::store::{Lane, Tx, payments, transactions};

/// At most so many forged notifications are stored in a second; the rest is only counted in the log.
const QUARANTINE_PER_SECOND: u32 = 5;

/// Bounds what forged notifications can make us write.
#[derive(Default)]
pub(super) struct QuarantineGate(Mutex<(i64, u32)>);

impl QuarantineGate {
    fn lets_through(&self, now: Timestamp) -> bool {
        let second = now.micros() / 1_000_000;
        let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.0 != second {
            *gate = (second, 0);
        }
        gate.1 += 1;
        gate.1 <= QUARANTINE_PER_SECOND
    }
}

/// A verified notification on its way into the database.
#[derive(Clone)]
struct Incoming {
    id: NotificationId,
    kind: NotificationKind,
    body: Vec<u8>,
    is_json: bool,
    content: Option<Notification>,
    received_at: Timestamp,
    /// A Check while it is not known yet what the provider did before: nobody may pay.
    gate_closed: bool,
}

/// What applying came to.
pub(super) struct Applied {
    pub(super) payment_id: Option<PaymentId>,
    pub(super) verdict: &'static str,
    pub(super) reply: u8,
    pub(super) is_plan_charge: bool,
    /// The bank refused an attempt, and the content says so.
    pub(super) is_refusal: bool,
    /// Whether it made a row of the payment's history.
    pub(super) made_row: bool,
    /// After a Check: the attempt that holds the payment now, this one or, where it is refused, another one.
    pub(super) attempt: Option<Attempt>,
}

impl Applied {
    pub(super) fn nowhere(verdict: &'static str) -> Applied {
        Applied {
            payment_id: None,
            verdict,
            reply: 0,
            is_plan_charge: false,
            is_refusal: false,
            made_row: false,
            attempt: None,
        }
    }

    /// The other attempt for which a Check was refused.
    fn held_by(&self) -> Option<i64> {
        self.attempt.filter(|_| self.reply == code::NOT_PAYABLE).map(|attempt| attempt.transaction_id)
    }

    /// Whether it tells of something and no payment is there to show it.
    fn belongs_nowhere(&self) -> bool {
        self.payment_id.is_none() && matches!(self.verdict, "unmatched" | "unreadable")
    }

    /// Whether somebody has to look at it: money may be behind it.
    fn needs_a_person(&self) -> bool {
        self.belongs_nowhere() && !self.is_refusal
    }

    /// The kind under which it is counted as a surprise; what a payment shows is counted there.
    fn surprise(&self) -> Option<&'static str> {
        match self.verdict {
            _ if !self.belongs_nowhere() => None,
            "unmatched" if self.is_refusal => Some("unmatched_refusal"),
            "unmatched" if self.is_plan_charge => Some("unmatched_plan_charge"),
            "unmatched" => Some("unmatched_notification"),
            _ => Some("unreadable_notification"),
        }
    }
}

impl App {
    /// Takes a notification in. Never fails: whatever goes wrong, the provider gets an answer it understands.
    pub async fn take_notification(&self, raw: RawNotification) -> NotificationReply {
        if !self.parts.signatures.holds(
            &raw.signed,
            raw.is_json,
            raw.content_hmac.as_deref(),
            raw.x_content_hmac.as_deref(),
        ) {
            self.put_in_quarantine(raw).await;
            return NotificationReply::BadSignature;
        }
        let now = self.now();
        let content = match cloudpayments::parse(&raw.signed, raw.is_json) {
            Ok(content) => Some(content),
            Err(reason) => {
                tracing::error!(
                    notification.kind = raw.kind.as_str(),
                    reason,
                    "a signed notification cannot be read; it is stored"
                );
                None
            }
        };
        let incoming = Incoming {
            id: NotificationId::generate(now, self.parts.ids.as_ref()),
            kind: raw.kind,
            body: raw.signed,
            is_json: raw.is_json,
            content,
            received_at: now,
            gate_closed: raw.kind == NotificationKind::Check && !self.may_answer_check().await,
        };
        match self.apply(incoming).await {
            Ok((id, applied)) => {
                self.report(&raw.kind, &id, &applied);
                NotificationReply::Code(applied.reply)
            }
            Err(error) => {
                tracing::error!(notification.kind = raw.kind.as_str(), %error, ?error, "a notification could not be stored; the provider repeats it");
                NotificationReply::TryAgain
            }
        }
    }

    /// Applies a stored notification once more, for example when its payment was not known at first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn replay_notification(&self, caller: &Caller, id: NotificationId) -> Result<NotificationRecord> {
        let recorder = self.recorder(CauseType::Operator, Some(id.to_string()), caller.key_id.as_str());
        self.apply_stored(id, recorder).await
    }

    /// Applies notifications that came before their payment was known and were not taken up when it became known: two
    /// processes may have handled the two at the same moment. Returns how many there were.
    pub(super) async fn take_up_unmatched(&self) -> Result<usize> {
        let ids = self.parts.store.read(notifications::unmatched_with_payment).await?;
        for id in &ids {
            let recorder = self.recorder(CauseType::Notification, Some(id.to_string()), super::PROVIDER);
            if let Err(error) = self.apply_stored(id.clone(), recorder).await {
                tracing::error!(notification.id = id.as_str(), %error, ?error, "an early notification could not be taken up");
            }
        }
        Ok(ids.len())
    }

    async fn apply_stored(&self, id: NotificationId, recorder: Recorder) -> Result<NotificationRecord> {
        let wanted = id.clone();
        let stored = self.parts.store.read(move |tx| notifications::get(tx, &wanted)).await?;
        let kind = NotificationKind::parse(&stored.record.kind)
            .ok_or_else(|| Error::internal("a notification of no known kind"))?;
        let Some(body) = stored.body else {
            let advice = "the body of this notification was removed when its time was over; ask the provider instead: \
                          POST /v1/payments/{id}/sync";
            return Err(Error::conflict(Conflict::InvalidState, advice));
        };
        let incoming = Incoming {
            id,
            kind,
            content: cloudpayments::parse(&body, stored.is_json).ok(),
            body,
            is_json: stored.is_json,
            received_at: stored.record.received_at,
            gate_closed: false,
        };
        let lane = self.lane(&incoming).await?;
        self.parts
            .store
            .write(lane, move |tx| {
                // A Check asks about a moment that is over.
                if incoming.kind != NotificationKind::Check {
                    let applied = apply_facts(tx, &recorder, &incoming)?;
                    let before = notifications::get(tx, &incoming.id)?.record;
                    if let (None, Some(id)) = (&before.payment_id, &applied.payment_id) {
                        announce_match(tx, &recorder, &before, id, applied.made_row)?;
                    }
                    notifications::set_verdict(tx, &incoming.id, applied.verdict, applied.payment_id.as_ref())?;
                }
                Ok(notifications::get(tx, &incoming.id)?.record)
            })
            .await
    }

    async fn apply(&self, incoming: Incoming) -> Result<(NotificationId, Applied)> {
        let lane = self.lane(&incoming).await?;
        let recorder = self.recorder(CauseType::Notification, Some(incoming.id.to_string()), super::PROVIDER);
        let id = incoming.id.clone();
        let applied = self
            .parts
            .store
            .write(lane, move |tx| {
                let check = incoming.kind == NotificationKind::Check;
                if !check && notifications::is_known(tx, incoming.kind, &incoming.body)? {
                    return Ok(Applied::nowhere("repeat"));
                }
                let applied = if incoming.gate_closed {
                    Applied { reply: code::NOT_PAYABLE, ..Applied::nowhere("refused") }
                } else if check {
                    answer_check(tx, &recorder, incoming.content.as_ref())?
                } else {
                    apply_facts(tx, &recorder, &incoming)?
                };
                let record = record_of(&incoming, &applied, recorder.at);
                notifications::insert(tx, &record, &incoming.signed(&storable(&incoming.body)))?;
                if applied.needs_a_person() {
                    let transaction_id = record.transaction_id;
                    recorder.announce_notification(
                        tx,
                        "notification.needs_attention",
                        None,
                        &incoming.id,
                        transaction_id,
                    )?;
                }
                Ok(applied)
            })
            .await?;
        if let Some(payment_id) = &applied.payment_id {
            let _ = self.changes.send(payment_id.clone());
            if let Some(attempt) = applied.attempt {
                self.attempts.note(attempt, payment_id);
            }
        }
        Ok((id, applied))
    }

    /// The lane of the payment that the notification is about, so that one payment's writes stay in order.
    async fn lane(&self, incoming: &Incoming) -> Result<Lane> {
        let Some(content) = &incoming.content else { return Ok(Lane::of("")) };
        if let Some(id) = content.data.payment_id.as_deref().and_then(PaymentId::parse) {
            return Ok(Lane::of(id.as_str()));
        }
        let Some(kind) = stated_by(incoming.kind) else { return Ok(Lane::of("")) };
        let (content, at) = (content.clone(), incoming.received_at);
        let payment = self.parts.store.read(move |tx| resolve(tx, &content, kind, at)).await?;
        Ok(Lane::of(payment.as_ref().map_or("", |payment| payment.id.as_str())))
    }

    fn report(&self, kind: &NotificationKind, id: &NotificationId, applied: &Applied) {
        let payment_id = applied.payment_id.as_ref().map_or("", PaymentId::as_str);
        let kind = kind.as_str();
        self.parts.metrics.notification(kind, applied.verdict);
        if let Some(surprise) = applied.surprise() {
            self.parts.metrics.surprise(surprise);
        }
        if applied.needs_a_person() || matches!(applied.verdict, "unreadable" | "contradiction") {
            tracing::error!(
                notification.kind = kind,
                notification.id = id.as_str(),
                payment.id = payment_id,
                verdict = applied.verdict,
                "a notification needs a person"
            );
        } else {
            tracing::info!(
                notification.kind = kind,
                notification.id = id.as_str(),
                payment.id = payment_id,
                verdict = applied.verdict,
                reply = applied.reply,
                held_by = applied.held_by(),
                "took a notification"
            );
        }
    }

    async fn put_in_quarantine(&self, raw: RawNotification) {
        let now = self.now();
        self.parts.metrics.notification(raw.kind.as_str(), "bad_signature");
        tracing::warn!(notification.kind = raw.kind.as_str(), "a notification without a valid signature");
        if !self.quarantine.lets_through(now) {
            return;
        }
        let id = NotificationId::generate(now, self.parts.ids.as_ref());
        let kept = self
            .parts
            .store
            .write(Lane::of("quarantine"), move |tx| {
                notifications::quarantine(tx, &id, raw.kind, &storable(&raw.signed), now)
            })
            .await;
        if let Err(error) = kept {
            tracing::warn!(%error, "a forged notification could not be put in quarantine");
        }
    }
}

/// A body as it may be kept. Payers type card numbers where their name belongs, and what is not signed may hold anything;
/// no field that we read can hold one.
fn storable(body: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(body).map(without_card_numbers) {
        Ok(Cow::Borrowed(_)) => Cow::Borrowed(body),
        Ok(Cow::Owned(hidden)) => Cow::Owned(hidden.into_bytes()),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            if contains_card_number(&text) {
                Cow::Owned(without_card_numbers(&text).into_owned().into_bytes())
            } else {
                Cow::Borrowed(body)
            }
        }
    }
}

impl Incoming {
    /// `kept` is what may be kept of the body.
    fn signed<'a>(&'a self, kept: &'a [u8]) -> Signed<'a> {
        Signed {
            body: &self.body,
            kept,
            is_json: self.is_json,
            parent_transaction_id: self.content.as_ref().and_then(|content| content.payment_transaction_id),
            account_id: self.content.as_ref().and_then(|content| content.account_id.as_deref()),
        }
    }
}

fn record_of(incoming: &Incoming, applied: &Applied, at: Timestamp) -> NotificationRecord {
    NotificationRecord {
        id: incoming.id.clone(),
        kind: incoming.kind.as_str().to_owned(),
        payment_id: applied.payment_id.as_ref().map(ToString::to_string),
        transaction_id: incoming.content.as_ref().and_then(|content| content.transaction_id),
        verdict: applied.verdict.to_owned(),
        reply: i32::from(applied.reply),
        received_at: at,
    }
}

/// The payment that a notification is about, which came at `received_at`.
pub(super) fn resolve(
    tx: &mut Tx<'_>,
    content: &Notification,
    kind: NotificationFact,
    received_at: Timestamp,
) -> Result<Option<Outline>> {
    payment_of(tx, &Traces::of_notification(content, kind, received_at))
}

/// What a kind of notification states; plans and fiscal receipts state nothing about a transaction.
fn stated_by(kind: NotificationKind) -> Option<NotificationFact> {
    match kind {
        NotificationKind::Check => Some(NotificationFact::Check),
        NotificationKind::Pay => Some(NotificationFact::Pay),
        NotificationKind::Fail => Some(NotificationFact::Fail),
        NotificationKind::Confirm => Some(NotificationFact::Confirm),
        NotificationKind::Refund => Some(NotificationFact::Refund),
        NotificationKind::Cancel => Some(NotificationFact::Cancel),
        NotificationKind::Recurrent | NotificationKind::Receipt => None,
    }
}

/// Facts that stored notifications state about a transaction whose payment was not known when they came, for example a
/// refund from the cabinet that overtook the Pay. They are marked as applied.
pub(super) fn take_unmatched(
    tx: &mut Tx<'_>,
    payment: &Payment,
    transaction_id: i64,
) -> Result<Vec<(NotificationId, Fact)>> {
    let mut facts = Vec::new();
    for stored in notifications::unmatched_about(tx, transaction_id)? {
        let kind = NotificationKind::parse(&stored.record.kind).and_then(stated_by);
        let content = stored.body.and_then(|body| cloudpayments::parse(&body, stored.is_json).ok());
        if let (Some(kind), Some(content)) = (kind, content)
            && let Some(fact) = content.fact(kind, Some(unstated_currency(tx, payment, &content)?))
        {
            notifications::set_verdict(tx, &stored.record.id, "applied", Some(&payment.id))?;
            facts.push((stored.record.id, fact));
        }
    }
    Ok(facts)
}

/// The currency of a Refund or Cancel, which state none: of the transaction it is about, which need not be the payment's.
fn unstated_currency(tx: &mut Tx<'_>, payment: &Payment, content: &Notification) -> Result<Currency> {
    for transaction_id in [content.payment_transaction_id, content.transaction_id].into_iter().flatten() {
        if let Some((_, known)) = transactions::find(tx, transaction_id)? {
            return Ok(known.amount.currency);
        }
    }
    Ok(payment.currency())
}

/// A notification was booked on a payment after all. The event belongs to the row that this made, or to one of its own: what
/// a row tells is complete when it is written, because a seal may cover it from then on.
fn announce_match(
    tx: &mut Tx<'_>,
    recorder: &Recorder,
    notification: &NotificationRecord,
    payment_id: &PaymentId,
    made_row: bool,
) -> Result<()> {
    let mut payment = payments::get(tx, payment_id)?;
    if !made_row {
        let note = Note { always: true, transaction_id: notification.transaction_id, ..Note::default() };
        payment = recorder.settle(tx, payment, note.with("notification", "matched"))?.payment;
    }
    let (id, transaction_id) = (&notification.id, notification.transaction_id);
    recorder.announce_notification(tx, "notification.matched", Some(&payment), id, transaction_id)
}

fn apply_facts(tx: &mut Tx<'_>, recorder: &Recorder, incoming: &Incoming) -> Result<Applied> {
    let Some(kind) = stated_by(incoming.kind) else { return Ok(Applied::nowhere("ignored")) };
    let Some(content) = &incoming.content else { return Ok(Applied::nowhere("unreadable")) };
    let Some(payment) = resolve(tx, content, kind, incoming.received_at)? else {
        return Ok(Applied {
            is_plan_charge: content.subscription_id.is_some(),
            is_refusal: kind == NotificationFact::Fail && content.tells_of_a_refusal(),
            ..Applied::nowhere("unmatched")
        });
    };
    let payment = payments::hold(tx, &payment.id)?;
    let (payment_id, before) = (payment.id.clone(), payment.sequence);
    let (verdict, note) = match content.fact(kind, Some(unstated_currency(tx, &payment, content)?)) {
        Some(fact) => note_of(recorder.learn(tx, &payment, &fact, None)?, &payment, &fact, incoming),
        None => {
            let attention = Some(Attention::new("unreadable_notification", &incoming.id));
            let note = Note { transaction_id: content.transaction_id, attention, ..Note::default() };
            // Its number need not be in the books: whoever verifies the history must know.
            ("unreadable", Some(note.with("notification", "unreadable")))
        }
    };
    let after = note.map(|note| recorder.settle(tx, payment, note)).transpose()?;
    let made_row = after.is_some_and(|after| after.payment.sequence > before);
    Ok(Applied { payment_id: Some(payment_id), made_row, ..Applied::nowhere(verdict) })
}

/// What learning a fact of a notification came to, and the note for the payment's history.
fn note_of(learned: Learned, payment: &Payment, fact: &Fact, incoming: &Incoming) -> (&'static str, Option<Note>) {
    match learned {
        Learned::Nothing => ("no_change", None),
        Learned::Something | Learned::Money | Learned::SomethingAndEarlier | Learned::Mismatch => {
            ("applied", Some(Note::of_learned(payment, fact, learned)))
        }
        Learned::OtherPayment | Learned::Unreadable => {
            let attention = Some(Attention::new("contradicting_notification", &incoming.id));
            let note = Note { attention, ..Note::about(fact.transaction_id) };
            ("contradiction", Some(note.with("notification", "contradiction")))
        }
    }
}

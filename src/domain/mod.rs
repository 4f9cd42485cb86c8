//! What the words mean: money, ids, states and the rules between them. Pure: no I/O, no clock, no outside service.

pub mod business_day;
pub mod card_data;
pub mod day_register;
pub mod decline;
pub mod evidence;
pub mod id;
pub mod money;
pub mod payment;
pub mod proof;
pub mod refund;
pub mod register;
pub mod scope;
pub mod state;
pub mod summary;

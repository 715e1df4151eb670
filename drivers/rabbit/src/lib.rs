//! oxlo's AMQP 0-9-1 driver: `rabbit://`.

mod stream;

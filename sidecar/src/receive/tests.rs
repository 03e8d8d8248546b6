mod admission;
mod decoder;
mod heartbeat;

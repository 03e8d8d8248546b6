mod admission;
mod decoder;

mod data;
mod foreign;
mod keys;
mod refused;
mod said;
mod vectors;

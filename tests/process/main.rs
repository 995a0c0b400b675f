//! The program as an operator runs it: commands and a running `serve`, without a broker. Stores are doubles over real HTTP.

mod accidents;
mod adding;
mod cli;
mod connect;
mod cost;
mod durability;
mod help;
mod hostile;
mod lists;
mod refused;

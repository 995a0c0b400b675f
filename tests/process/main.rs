//! The program as an operator runs it: commands and a running `serve`, without a broker. Stores are doubles over real HTTP.

mod accidents;
mod adding;
mod cli;
mod command;
mod connect;
mod connect_checks;
mod connect_wix;
mod cost;
mod durability;
mod help;
mod hostile;
mod lifecycle;
mod lists;
mod polling;
mod rebuild;
mod refused;
mod replace;
mod replay;
mod scene;
mod secrets;
mod shop_bench;
mod small_disk;

//! Ways out that a hostile migration tries.

use super::*;
use whimbrel_tests::on_every_postgres;

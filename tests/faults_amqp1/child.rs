//! The parts that this suite's children play.

oxlo_faults_kit::child_parts!();

//! The parts that this suite's child processes run.

oxlo_faults_kit::child_parts!();

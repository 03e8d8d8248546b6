//! Splunk's Dashboard Studio components from npm, and the browser that draws with them.

use anyhow::Result;

use super::chromium::{self, Installed};

/// Exact versions of the packages.
const PACKAGES: &str = include_str!("../../studio/package.json");

/// Finds the browser and the packages, and installs what is not there.
pub fn install() -> Result<Installed> {
    // The packages' peers contradict one another in places that nothing here touches.
    let flags = ["--legacy-peer-deps"];
    chromium::with_packages("studio-tests", PACKAGES, &flags, &mut |_progress| ())
}

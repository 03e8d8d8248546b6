//! Where downloads and builds of test servers live between runs.
//!
//! Contract: an entry either is complete or is not there. Its name carries the version of what it holds
//! and a hash of the recipe that made it, so a changed recipe makes a new entry. Two runs that want the same entry
//! wait for each other. Limit: old entries are not removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

/// The cache folder: `$XDG_CACHE_HOME/beaconwatch`, else `~/.cache/beaconwatch`.
pub fn folder() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        // The XDG specification: a relative path is to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .ok_or_else(|| anyhow!("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(base.join("beaconwatch"))
}

/// The folder of the entry `name`, made by `make` when it is not there yet.
///
/// `make` is given an empty folder, which becomes the entry when it succeeds.
pub fn entry(name: &str, recipe: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let entries = folder()?.join("servers");
    fs::create_dir_all(&entries).with_context(|| format!("creating {}", entries.display()))?;
    let entry = entries.join(format!("{name}-{:016x}", fnv1a(recipe.as_bytes())));
    let lock_path = entry.with_added_extension("lock");
    let lock =
        File::create(&lock_path).with_context(|| format!("creating {}", lock_path.display()))?;
    lock.lock()
        .with_context(|| format!("locking {}", lock_path.display()))?;
    if entry.is_dir() {
        return Ok(entry);
    }
    let partial = entry.with_added_extension("partial");
    if partial.exists() {
        // Left by a run that was killed; the lock says that nobody works in it now.
        fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    }
    fs::create_dir(&partial).with_context(|| format!("creating {}", partial.display()))?;
    make(&partial).with_context(|| {
        format!(
            "making {name}; what was done so far is in {}",
            partial.display()
        )
    })?;
    fs::rename(&partial, &entry).with_context(|| format!("moving {name} into place"))?;
    Ok(entry)
}

/// FNV-1a, 64 bits: the same on every machine and with every compiler.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn fnv1a_gives_the_published_test_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}

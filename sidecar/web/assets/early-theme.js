// Runs before the first paint, so that a remembered theme does not flash the other one.
(function () {
  try {
    const theme = localStorage.getItem('beaconwatch.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the system's choice holds.
  }
})();

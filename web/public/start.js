// Runs before the first paint, and before the page's modules.

// A chosen theme shows no flash of the other one.
(() => {
  try {
    const theme = localStorage.getItem('theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is forbidden here: the system's theme it is.
  }
})();

// A script of ours that can't be loaded or can't be run. Until something else is in its place, `.unstarted` shows.
addEventListener(
  'error',
  ({ target, filename = target.src }) => {
    if (filename?.startsWith(location.origin)) document.documentElement.dataset.failed = '';
  },
  true,
);

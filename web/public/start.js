// Runs before the first paint: a chosen theme shows no flash of the other one.
try {
  const theme = localStorage.getItem('theme');
  if (/^(light|dark)$/.test(theme)) document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden here.
}

// A script of ours can't be loaded or run: `.unstarted` shows while nothing else does.
addEventListener(
  'error',
  ({ target, filename = target.src }) => {
    if (filename?.startsWith(origin)) document.documentElement.dataset.failed = '';
  },
  true,
);

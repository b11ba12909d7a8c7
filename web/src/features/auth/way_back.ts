/** Where to go after signing in: a path of this page that `?return=` names, else the start. */
export function returnPath(search: string): string {
  const wanted = new URLSearchParams(search).get('return');
  if (!wanted) return '/';
  const here = 'https://here.invalid';
  const url = URL.canParse(wanted, here) ? new URL(wanted, here) : null;
  // Another site's address must not become the end of a sign-in here.
  if (url?.origin !== here || !wanted.startsWith('/')) return '/';
  return /^\/(login|register)\b/.test(url.pathname) ? '/' : url.pathname;
}

/** The sign-in page that comes back to `path`. */
export function signInPath(path: string): string {
  return path === '/' ? '/login' : `/login?return=${encodeURIComponent(path)}`;
}

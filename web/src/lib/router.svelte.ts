export type Route =
  | { name: 'chat'; id: string | null }
  | { name: 'login' }
  | { name: 'register' }
  | { name: 'missing' };

/** The route that a path names. */
export function routeOf(path: string): Route {
  const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  if (trimmed === '/') return { name: 'chat', id: null };
  if (trimmed === '/login') return { name: 'login' };
  if (trimmed === '/register') return { name: 'register' };
  const id = /^\/c\/([A-Za-z0-9-]+)$/.exec(trimmed)?.[1];
  return id === undefined ? { name: 'missing' } : { name: 'chat', id };
}

/** Where a click leads, if the page itself shows it; null leaves the click to the browser. */
function pathOfClick(event: MouseEvent): string | null {
  if (event.defaultPrevented || event.button !== 0) return null;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return null;
  const target = event.composedPath()[0];
  const link = target instanceof Element ? target.closest('a') : null;
  if (!(link instanceof HTMLAnchorElement) || !link.hasAttribute('href')) return null;
  if (link.hasAttribute('download') || (link.target !== '' && link.target !== '_self')) return null;
  const url = new URL(link.href, location.href);
  if (url.origin !== location.origin || url.hash !== '') return null;
  // The server has pages of its own (/api/docs): only paths of this page are taken over.
  if (routeOf(url.pathname).name === 'missing') return null;
  return url.pathname + url.search;
}

class Router {
  #path = $state(location.pathname);
  #route: Route = $derived(routeOf(this.#path));

  get route(): Route {
    return this.#route;
  }

  get path(): string {
    return this.#path;
  }

  /** Follows the browser's history and takes over clicks on links of this page. Returns what ends that. */
  start(): () => void {
    const onPop = () => {
      this.#path = location.pathname;
    };
    const onClick = (event: MouseEvent) => {
      const path = pathOfClick(event);
      if (path === null) return;
      event.preventDefault();
      navigate(path);
    };
    onPop();
    window.addEventListener('popstate', onPop);
    document.addEventListener('click', onClick);
    return () => {
      window.removeEventListener('popstate', onPop);
      document.removeEventListener('click', onClick);
    };
  }

  /** Shows a path. The same path again adds nothing to the history. */
  go(path: string, replace: boolean): void {
    const url = new URL(path, location.href);
    if (url.origin !== location.origin) return;
    const target = url.pathname + url.search;
    if (replace || target === location.pathname + location.search) history.replaceState(null, '', target);
    else history.pushState(null, '', target);
    this.#path = url.pathname;
  }
}

export const router = new Router();

/** Goes to a path of this page. */
export function navigate(path: string, options: { replace?: boolean } = {}): void {
  router.go(path, options.replace ?? false);
}

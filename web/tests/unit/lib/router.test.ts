import { beforeEach, describe, expect, test } from 'vitest';
import { navigate, routeOf, router } from '$/lib/router.svelte';

beforeEach(() => {
  document.body.replaceChildren();
  navigate('/', { replace: true });
  return router.start();
});

/** Clicks a link and says whether the page took it over. */
function click(attributes: Record<string, string>, init: MouseEventInit = {}): boolean {
  const link = document.createElement('a');
  for (const [name, value] of Object.entries(attributes)) link.setAttribute(name, value);
  const inner = document.createElement('span');
  link.append(inner);
  document.body.append(link);
  const event = new MouseEvent('click', { bubbles: true, cancelable: true, composed: true, ...init });
  let taken = false;
  // After the router has had its say: jsdom can't go anywhere else.
  const last = (heard: Event) => {
    taken = heard.defaultPrevented;
    heard.preventDefault();
  };
  window.addEventListener('click', last, { once: true });
  inner.dispatchEvent(event);
  return taken;
}

describe('routes', () => {
  test.each([
    ['/', { name: 'chat', id: null }],
    ['/c/0197-ab', { name: 'chat', id: '0197-ab' }],
    ['/c/0197-ab/', { name: 'chat', id: '0197-ab' }],
    ['/login', { name: 'login' }],
    ['/register', { name: 'register' }],
    ['/c/', { name: 'missing' }],
    ['/c/%zz', { name: 'missing' }],
    ['/c/a/b', { name: 'missing' }],
    ['/other', { name: 'missing' }],
  ])('%s', (path, route) => {
    expect(routeOf(path)).toEqual(route);
  });
});

describe('going somewhere', () => {
  test('shows the route and adds to the history once', () => {
    const before = history.length;
    navigate('/c/abc');
    navigate('/c/abc');
    expect(router.route).toEqual({ name: 'chat', id: 'abc' });
    expect([location.pathname, history.length]).toEqual(['/c/abc', before + 1]);
    navigate('/c/def', { replace: true });
    expect([location.pathname, history.length]).toEqual(['/c/def', before + 1]);
  });

  test('back shows what was before', async () => {
    navigate('/c/abc');
    const popped = new Promise((resolve) => window.addEventListener('popstate', resolve, { once: true }));
    history.back();
    await popped;
    expect(router.route).toEqual({ name: 'chat', id: null });
  });

  test('never leaves the origin', () => {
    navigate('https://example.com/login');
    navigate('//example.com/login');
    expect([location.pathname, router.path]).toEqual(['/', '/']);
  });
});

describe('clicks', () => {
  test('on links of the page are taken over', () => {
    expect(click({ href: '/c/abc' })).toBe(true);
    expect(router.path).toBe('/c/abc');
    expect(click({ href: '/login?next=%2Fc%2Fabc' })).toBe(true);
    expect(location.search).toBe('?next=%2Fc%2Fabc');
  });

  test.each<[string, Record<string, string>, MouseEventInit]>([
    ['with Ctrl', { href: '/login' }, { ctrlKey: true }],
    ['with Cmd', { href: '/login' }, { metaKey: true }],
    ['with Shift', { href: '/login' }, { shiftKey: true }],
    ['with the middle button', { href: '/login' }, { button: 1 }],
    ['to a new tab', { href: '/login', target: '_blank' }, {}],
    ['to a file', { href: '/login', download: '' }, {}],
    ['to another origin', { href: 'https://example.com/login' }, {}],
    ['to the server’s own pages', { href: '/api/docs' }, {}],
    ['to a place on this page', { href: '#main' }, {}],
    ['without an address', {}, {}],
  ])('%s are the browser’s', (_name, attributes, init) => {
    expect(click(attributes, init)).toBe(false);
    expect(router.path).toBe('/');
  });
});

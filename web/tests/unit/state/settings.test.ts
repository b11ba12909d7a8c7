import { beforeEach, describe, expect, test, vi } from 'vitest';

async function load() {
  vi.resetModules();
  return (await import('$/state/settings.svelte')).settings;
}

beforeEach(() => {
  localStorage.clear();
  delete document.documentElement.dataset.theme;
});

describe('settings', () => {
  test('a theme is applied and remembered; the system’s needs neither', async () => {
    const settings = await load();
    expect(settings.theme).toBe('system');
    settings.theme = 'dark';
    expect(document.documentElement.dataset.theme).toBe('dark');
    expect((await load()).theme).toBe('dark');
    settings.theme = 'system';
    expect(document.documentElement.dataset.theme).toBeUndefined();
    expect(localStorage.getItem('theme')).toBeNull();
  });

  test('the sidebar stays as it was left', async () => {
    const settings = await load();
    expect(settings.sidebarOpen).toBe(true);
    settings.sidebarOpen = false;
    expect((await load()).sidebarOpen).toBe(false);
  });

  test('something unknown in storage is the system’s theme', async () => {
    localStorage.setItem('theme', 'purple');
    expect((await load()).theme).toBe('system');
  });
});

import { readStored, writeStored } from '$/lib/storage';

export type Theme = 'system' | 'light' | 'dark';

function themeOf(stored: string | null): Theme {
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

/** What is kept on this device. Assigning applies and remembers. */
class Settings {
  #theme = $state<Theme>(themeOf(readStored('local', 'theme')));
  // Nothing is remembered before somebody has chosen: a wide window then shows the sidebar.
  #sidebar = $state(readStored('local', 'sidebar') !== 'closed');

  get theme(): Theme {
    return this.#theme;
  }

  set theme(theme: Theme) {
    this.#theme = theme;
    writeStored('local', 'theme', theme === 'system' ? null : theme);
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  get sidebarOpen(): boolean {
    return this.#sidebar;
  }

  set sidebarOpen(open: boolean) {
    this.#sidebar = open;
    writeStored('local', 'sidebar', open ? 'open' : 'closed');
  }
}

export const settings = new Settings();

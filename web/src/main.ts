import './styles/app.css';
import { mount } from 'svelte';
import { i18n, t } from '$/lib/i18n.svelte';
import { router } from '$/lib/router.svelte';
import { auth } from '$/state/auth.svelte';
import { toasts } from '$/state/toasts.svelte';
import App from './App.svelte';

let offered = false;

// A part of the page is no longer on the server: it was updated since this page was loaded.
window.addEventListener('vite:preloadError', () => {
  if (offered || !navigator.onLine) return;
  offered = true;
  toasts.show({
    text: t('shell.updated'),
    action: { label: t('shell.reload'), run: () => location.reload() },
    seconds: 0,
    onclose: () => {
      offered = false;
    },
  });
});

router.start();
void auth.check();
await i18n.start();

const target = document.getElementById('app');
if (target) mount(App, { target });

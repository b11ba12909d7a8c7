import './styles/app.css';
import { mount } from 'svelte';
import { UpdateOffer } from '$/features/shell/updated';
import { i18n } from '$/lib/i18n.svelte';
import { whenIdle } from '$/lib/idle';
import { router } from '$/lib/router.svelte';
import { auth } from '$/state/auth.svelte';
import { toasts } from '$/state/toasts.svelte';
import App from './App.svelte';

const update = new UpdateOffer();
window.addEventListener('vite:preloadError', () => void update.partMissing());

router.start();
void auth.check();
await i18n.start();

whenIdle(() => {
  import('$/lib/files').then(
    ({ refuseFiles }) => refuseFiles(toasts),
    () => undefined,
  );
});

const target = document.getElementById('app');
if (target) mount(App, { target });

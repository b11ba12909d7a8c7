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

let shown = 0;
/** Said once at a time, however many files are dropped. */
function say(text: string): void {
  toasts.dismiss(shown);
  shown = toasts.show({ text });
}

whenIdle(() => {
  import('$/lib/files').then(
    ({ refuseFiles }) => refuseFiles(say),
    () => undefined,
  );
});

const target = document.getElementById('app');
if (target) mount(App, { target });

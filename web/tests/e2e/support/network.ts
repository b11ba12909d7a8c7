import { type AddressInfo, connect, createServer, type Server as Listener, type Socket } from 'node:net';

/**
 * The network between the page and the server: TCP, so it knows nothing of HTTP. It can be cut, be down, and
 * keep back what the server sends as a buffering proxy does.
 */
export class Network {
  #listener: Listener;
  #sockets = new Set<Socket>();
  #down = false;
  #holding = false;
  #held: (() => void)[] = [];
  port = 0;

  private constructor(readonly target: string) {
    this.#listener = createServer((client) => this.#serve(client));
  }

  /** `target` is an origin of this machine. */
  static async start(target: string): Promise<Network> {
    const network = new Network(target);
    await new Promise<void>((resolve) => network.#listener.listen(0, '127.0.0.1', resolve));
    network.port = (network.#listener.address() as AddressInfo).port;
    return network;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resets every connection; new ones are taken. */
  cut() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Resets every connection, and every new one, until `up`. */
  down() {
    this.#down = true;
    this.cut();
  }

  up() {
    this.#down = false;
  }

  /** Keeps back what the server sends from now on, until `release`. */
  hold() {
    this.#holding = true;
  }

  /** Hands on what was kept back, in one go, and all that comes later as it comes. */
  release() {
    this.#holding = false;
    for (const send of this.#held.splice(0)) send();
  }

  async stop() {
    this.down();
    await new Promise((resolve) => this.#listener.close(resolve));
  }

  #serve(client: Socket) {
    if (this.#down) {
      client.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(this.target);
    const server = connect(Number(port), hostname);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      // Its other end learns by the close.
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        (socket === client ? server : client).destroy();
      });
    }
    client.pipe(server);
    server.on('data', (data) => {
      const send = () => {
        if (!client.destroyed) client.write(data);
      };
      if (this.#holding) this.#held.push(send);
      else send();
    });
  }
}

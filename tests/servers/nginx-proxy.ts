// A real nginx before another server, which drops the condition of a PUT on its way: what a careless proxy
// before an S3 server does.

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  accepts,
  findProgram,
  freePort,
  leftOutWithout,
  removeFolder,
  startServer,
  temporaryFolder,
} from './server.ts'

/** For a test's name: empty when nginx is installed. */
export const droppingNginxLeftOut = leftOutWithout('nginx')

export async function startDroppingNginx(upstream: string): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = await temporaryFolder('nginx-proxy')
  const port = await freePort()
  for (const name of ['uploads', 'run']) await mkdir(join(folder, name))
  await chmod(folder, 0o755)
  const file = join(folder, 'nginx.conf')
  await writeFile(file, configuration(folder, port, upstream))
  const logFile = join(folder, 'out.log')
  const args = ['-p', folder, '-c', file, '-e', logFile]
  const options = { logFile, isReady: () => accepts(port) }
  const server = await startServer(findProgram('nginx') ?? 'nginx', args, options)
  const stop = async () => {
    await server.stop()
    await removeFolder(folder)
  }
  return { url: `http://127.0.0.1:${port}`, stop }
}

function configuration(folder: string, port: number, upstream: string): string {
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `${user}
daemon off;
worker_processes 1;
pid ${folder}/run/nginx.pid;
error_log ${folder}/out.log;
events {}
http {
  access_log off;
  client_max_body_size 0;
  ${temporary.map((name) => `${name}_temp_path ${folder}/uploads/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstream};
      proxy_set_header If-None-Match "";
    }
  }
}
`
}

// A real WebDAV server: nginx with its dav and dav-ext modules on a folder, Basic sign-in.

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
import { passwordLine, WEBDAV_CREDENTIALS, type WebdavServer } from './webdav.ts'

const MODULE = '/usr/lib/nginx/modules/ngx_http_dav_ext_module.so'

/** For a test's name: empty when nginx is installed with what it needs for WebDAV. */
export const nginxLeftOut = leftOutWithout('nginx', MODULE)

export async function startNginx(): Promise<WebdavServer> {
  const folder = await temporaryFolder('nginx')
  const port = await freePort()
  const root = join(folder, 'data')
  try {
    for (const name of ['data', 'uploads', 'run']) await mkdir(join(folder, name))
    await chmod(folder, 0o755)
    await writeFile(join(folder, 'passwords'), passwordLine())
    const file = join(folder, 'nginx.conf')
    await writeFile(file, configuration(folder, port))
    const logFile = join(folder, 'out.log')
    const server = await startServer(
      findProgram('nginx') ?? 'nginx',
      ['-p', folder, '-c', file, '-e', logFile],
      {
        logFile,
        isReady: () => accepts(port),
      },
    )
    const stop = async () => {
      await server.stop()
      await removeFolder(folder)
    }
    return { url: `http://127.0.0.1:${port}`, root, credentials: WEBDAV_CREDENTIALS, stop }
  } catch (thrown) {
    await removeFolder(folder)
    throw thrown
  }
}

function configuration(folder: string, port: number): string {
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `load_module ${MODULE};
${user}
daemon off;
worker_processes 2;
pid ${folder}/run/nginx.pid;
error_log ${folder}/out.log;
events {}
http {
  access_log off;
  dav_ext_lock_zone zone=locks:1m;
  client_max_body_size 0;
  ${temporary.map((name) => `${name}_temp_path ${folder}/uploads/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    root ${folder}/data;
    location / {
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=locks;
      dav_access user:rw;
      auth_basic kvar;
      auth_basic_user_file ${folder}/passwords;
    }
  }
}
`
}

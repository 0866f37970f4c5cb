// A real WebDAV server: Apache with mod_dav on a folder, Basic sign-in.

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  accepts,
  findProgram,
  freePort,
  isInstalled,
  leftOutWithout,
  removeFolder,
  startServer,
  temporaryFolder,
} from './server.ts'
import { passwordLine, WEBDAV_CREDENTIALS, type WebdavServer } from './webdav.ts'

const MODULES = '/usr/lib/apache2/modules'

/** For a test's name: empty when Apache is installed. */
export const apacheLeftOut = leftOutWithout('apache2')
export const isApacheInstalled = isInstalled('apache2')

export async function startApache(): Promise<WebdavServer> {
  const folder = await temporaryFolder('apache')
  const port = await freePort()
  const root = join(folder, 'data')
  try {
    for (const name of ['data', 'lock', 'run']) {
      await mkdir(join(folder, name))
      await chmod(join(folder, name), 0o777)
    }
    await chmod(folder, 0o755)
    await writeFile(join(folder, 'passwords'), passwordLine())
    await writeFile(join(folder, 'types'), '')
    const file = join(folder, 'apache.conf')
    await writeFile(file, configuration(folder, port))
    const server = await startServer(findProgram('apache2') ?? 'apache2', ['-f', file, '-DFOREGROUND'], {
      logFile: join(folder, 'out.log'),
      isReady: () => accepts(port),
    })
    const stop = async () => {
      await server.stop()
      await removeFolder(folder)
    }
    return { url: `http://127.0.0.1:${port}/dav`, root, credentials: WEBDAV_CREDENTIALS, stop }
  } catch (thrown) {
    await removeFolder(folder)
    throw thrown
  }
}

const LOADED = [
  'mpm_event',
  'authn_core',
  'authn_file',
  'authz_core',
  'authz_user',
  'auth_basic',
  'dav',
  'dav_fs',
  'alias',
  'mime',
]

/** Apache gives up root's rights for those of www-data, so its folders are open to everybody. */
function configuration(folder: string, port: number): string {
  const modules = LOADED.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`)
  const user = process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''
  return `ServerRoot ${folder}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
PidFile ${folder}/run/apache.pid
DefaultRuntimeDir ${folder}/run
ErrorLog ${folder}/out.log
Mutex posixsem
${modules.join('\n')}
${user}
TypesConfig ${folder}/types
DAVLockDB ${folder}/lock/DavLock
DocumentRoot ${folder}/data
Alias /dav ${folder}/data
<Directory ${folder}/data>
  Dav On
  FileETag MTime Size INode
  AuthType Basic
  AuthName kvar
  AuthUserFile ${folder}/passwords
  Require valid-user
</Directory>
`
}

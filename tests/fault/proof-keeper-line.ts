import * as fs from 'node:fs'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { KeeperSettings } from '../../packages/kvar/src/settings/keeper-settings.ts'
import { moduleOf } from './proof-product.ts'

type Settings = typeof import('../../packages/kvar/src/settings/settings.ts')
type Protocol = typeof import('../../packages/kvar/src/keeper/protocol.ts')

const { resolveSettings } = (await import(moduleOf('settings/settings.js'))) as Settings
const { PROTOCOL } = (await import(moduleOf('keeper/protocol.js'))) as Protocol

/** The settings that an app's own keeper has, for the greeting. */
export function keeperSettings(databasePath: string, options: Record<string, unknown>): KeeperSettings {
  return resolveSettings({
    databasePath,
    options,
    optionsFrom: 'code',
    environment: {},
    workingFolder: '/',
  })
}

/**
 * Asks the running keeper of a database something, for apps that know nothing of Kvar. It never starts
 * a keeper: when ours dies, whoever owns it has to notice.
 *
 * @returns false when there is no keeper, or it ended before it answered
 * @throws Error with the keeper's sentence when it refuses
 */
export async function askKeeper(
  addressPath: string,
  settings: KeeperSettings,
  method: 'flush' | 'status',
): Promise<unknown> {
  const address = readAddress(addressPath)
  if (address === undefined) return false
  const socket = connect(address.socket)
  const hello = { protocol: PROTOCOL, nonce: address.nonce, settings, role: 'tool', appRunning: true }
  try {
    // One after the other: a keeper that still starts must not see us leave in the middle of it.
    if ((await answerTo(1, socket, { method: 'hello', params: hello })) === false) return false
    return await answerTo(2, socket, { method, params: {} })
  } finally {
    socket.destroy()
  }
}

function answerTo(id: number, socket: Socket, call: { method: string; params: unknown }): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    const lines = createInterface({ input: socket })
    lines.on('error', () => resolve(false))
    lines.on('line', (line) => {
      const message = JSON.parse(line) as KeeperAnswer
      if (message.id !== id) return
      if (message.error === undefined) resolve(message.result)
      // It is just leaving, or is another one than the address says: not a refusal.
      else if (message.error.code === 'KEEPER_GONE') resolve(false)
      else reject(new Error(message.error.message))
    })
    socket.write(`${JSON.stringify({ id, ...call })}\n`)
  })
}

interface KeeperAnswer {
  id?: number
  result?: unknown
  error?: { code: string; message: string }
}

function readAddress(path: string): { socket: string; nonce: string } | undefined {
  try {
    return JSON.parse(fs.readFileSync(path, 'utf8')) as { socket: string; nonce: string }
  } catch {
    return undefined
  }
}

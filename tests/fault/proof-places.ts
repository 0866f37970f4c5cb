import { REMOTE_KINDS, RemoteServers, remoteLeftOut } from '../support/remote-places.ts'
import type { LedgerPlace } from './proof-site.ts'

/** Fresh places for a loop's ledgers, on one server. */
export interface ProofPlaces {
  place: () => LedgerPlace
  stop: () => Promise<void>
}

/**
 * Starts the server that `--on` names; undefined for folders.
 *
 * @throws Error when there is no such kind, or its server is not installed here
 */
export async function placesOn(name: string): Promise<ProofPlaces | undefined> {
  if (name === 'folder') return undefined
  const kind = REMOTE_KINDS.find((known) => known === name)
  if (kind === undefined) throw new Error(`--on takes folder, ${REMOTE_KINDS.join(', ')}`)
  if (remoteLeftOut[kind] !== '') throw new Error(`${kind} cannot run here${remoteLeftOut[kind]}`)
  const servers = await RemoteServers.start([kind])
  return { place: () => servers.place(kind), stop: () => servers.stop() }
}

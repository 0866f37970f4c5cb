import { asText } from '../http/json.ts'
import { SharedWork } from '../http/shared-work.ts'
import { type DriveFile, FILE_FIELDS, findFiles, oldest, quoted, readFile } from './google-drive-files.ts'
import type { GoogleDriveRequests } from './google-drive-requests.ts'

const FOLDER_TYPE = 'application/vnd.google-apps.folder'
const DOING = 'find the folder'

/**
 * The folder that holds the target. Names of folders are not unique either, so of several the oldest is
 * taken. It is looked up once, and made when something is first stored; if it is deleted afterwards it is
 * not made anew, because a version in an empty folder could not be restored.
 */
export class GoogleDriveRoot {
  readonly #requests: GoogleDriveRequests
  readonly #finding = new SharedWork<string | undefined>()
  readonly #making = new SharedWork<string>()
  #id: string | undefined

  constructor(requests: GoogleDriveRequests) {
    this.#requests = requests
  }

  /** Its identity, or undefined when there is no such folder yet. */
  async find(signal: AbortSignal | undefined): Promise<string | undefined> {
    return this.#id ?? this.#finding.join(() => this.#walk((names) => this.#lookUp(names)), signal)
  }

  async make(signal: AbortSignal | undefined): Promise<string> {
    return this.#id ?? this.#making.join(() => this.#makeAll(), signal)
  }

  async #makeAll(): Promise<string> {
    return (await this.#walk(async (place) => (await this.#lookUp(place)) ?? this.#makeOne(place))) as string
  }

  async #walk(step: (place: Place) => Promise<string | undefined>): Promise<string | undefined> {
    const { folder, sharedDrive } = this.#requests.settings
    let parent: string | undefined = sharedDrive ?? 'root'
    for (const name of folder) {
      parent = await step({ name, parent })
      if (parent === undefined) return undefined
    }
    this.#id = parent
    return parent
  }

  async #lookUp({ name, parent }: Place): Promise<string | undefined> {
    return oldest(await this.#all({ name, parent }))?.id
  }

  async #all({ name, parent }: Place): Promise<DriveFile[]> {
    const query = `name = ${quoted(name)} and ${quoted(parent)} in parents and mimeType = ${quoted(FOLDER_TYPE)}`
    const found = await findFiles(this.#requests, query, { signal: undefined, doing: DOING })
    return found.filter((one) => one.name === name)
  }

  /** Makes it, looks again, and takes its own away if somebody was earlier. */
  async #makeOne({ name, parent }: Place): Promise<string> {
    const { addresses } = this.#requests.settings
    const made = await this.#requests.sendForJson({
      method: 'POST',
      url: `${addresses.api}/files`,
      query: { fields: FILE_FIELDS },
      json: { name, parents: [parent], mimeType: FOLDER_TYPE },
      doing: 'make the folder',
    })
    const own = readFile(made)
    const id = own?.id ?? asText(made.id) ?? ''
    const first =
      oldest([...(await this.#all({ name, parent })), ...(own === undefined ? [] : [own])])?.id ?? id
    if (first !== id) await this.#removeEmpty(id)
    return first
  }

  async #removeEmpty(id: string): Promise<void> {
    const { addresses } = this.#requests.settings
    const url = `${addresses.api}/files/${encodeURIComponent(id)}`
    const answer = await this.#requests.send({
      method: 'DELETE',
      url,
      query: {},
      doing: 'remove a second folder',
    })
    await answer.body.return?.()
  }
}

interface Place {
  name: string
  parent: string
}

import * as fs from 'node:fs'
import { join } from 'node:path'

/** Everything that others may get to see, by where it was seen. */
export class Seen {
  readonly #texts: Array<{ where: string; bytes: Buffer }> = []

  add(where: string, text: string | Uint8Array): void {
    this.#texts.push({ where, bytes: Buffer.from(text as string) })
  }

  /** Every file below a folder, whatever it is. */
  addFolder(folder: string): void {
    for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isFile()) this.add(path, fs.readFileSync(path))
    }
  }

  /** Where any form of a secret stands: as it is, in a URL, in JSON, in base64, or a long piece of it. */
  find(secrets: string[]): string[] {
    const forms = secrets.flatMap((secret) => formsOf(secret).map((form) => ({ secret, form })))
    return this.#texts.flatMap(({ where, bytes }) =>
      forms.flatMap(({ secret, form }) =>
        bytes.includes(form) ? [`${where} holds ${secret.slice(0, 4)}… (${form.length} characters)`] : [],
      ),
    )
  }

  get places(): string[] {
    return this.#texts.map(({ where }) => where)
  }
}

function formsOf(secret: string): string[] {
  const lines = secret.split('\n').filter((line) => line.length > 30 && !line.startsWith('-----'))
  const whole = [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]
  return [...new Set([...(lines.length > 0 ? lines : whole), Buffer.from(secret).toString('base64')])]
}

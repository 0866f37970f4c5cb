import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

export interface Contents {
  objects: number
  bytes: number
}

/** Files below a folder and their bytes. Dot files are a target's own and no objects. */
export async function contentsOf(folder: string): Promise<Contents> {
  const sum = { objects: 0, bytes: 0 }
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      const inner = await contentsOf(path)
      sum.objects += inner.objects
      sum.bytes += inner.bytes
      continue
    }
    const size = await stat(path).then(
      (facts) => facts.size,
      () => undefined,
    )
    if (size === undefined) continue
    sum.objects += 1
    sum.bytes += size
  }
  return sum
}

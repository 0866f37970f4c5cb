import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const CHUNK_BYTES = 4096

/** Why no small disk can be had here; undefined where one can. */
export function whyNoSmallDisk(): string | undefined {
  try {
    SmallDisk.mount(fs.mkdtempSync(join(tmpdir(), 'kvar-small-')), 256).unmount()
    return undefined
  } catch {
    return 'mounting a small disk needs root on Linux'
  }
}

/** A real file system with little room, in memory. */
export class SmallDisk {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** @param path an empty folder, which goes with the disk */
  static mount(path: string, sizeKiB: number): SmallDisk {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeKiB}k,mode=700`, 'tmpfs', path], {
      stdio: 'pipe',
    })
    return new SmallDisk(path)
  }

  /** Takes all the room that is left. */
  fill(): void {
    const file = fs.openSync(this.#ballast, 'a')
    try {
      for (;;) fs.writeSync(file, Buffer.alloc(CHUNK_BYTES, 1))
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown
    } finally {
      fs.closeSync(file)
    }
  }

  makeRoom(): void {
    fs.rmSync(this.#ballast, { force: true })
  }

  unmount(): void {
    execFileSync('umount', ['-l', this.path], { stdio: 'pipe' })
    fs.rmSync(this.path, { recursive: true, force: true })
  }

  get #ballast(): string {
    return join(this.path, 'ballast')
  }
}

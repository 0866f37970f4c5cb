import { decodeLtx } from '../formats/ltx-decoder.ts'
import { addChecksum, pageChecksum, subtractChecksum } from '../formats/page-checksum.ts'
import type { Platform } from '../platform/platform.ts'
import { ImageWriter } from './image-writer.ts'
import { versionKey } from './log-layout.ts'
import type { RestoredImage } from './restore.ts'
import { type VersionInfo, type VersionLog, versionInfo } from './version-log.ts'

/**
 * Brings a restored image up to the newest version by the versions that came after it, without a
 * listing and without reading what is there already: what a claimant does again and again beside an
 * owner that is still writing (R4).
 *
 * @returns undefined when that is not possible (a version is gone, another page size, a checksum that
 *   does not fit): then the image has to be restored anew
 */
export async function extendImage<Image extends RestoredImage>(options: {
  log: VersionLog
  /** The file that shows `image`; nobody else uses it. */
  path: string
  image: Image
  platform: Platform
}): Promise<{ image: Image; head: VersionInfo } | undefined> {
  const { log, path, image, platform } = options
  const file = platform.files.openSync(path, 'write')
  try {
    const writer = new ImageWriter(file)
    writer.pageSize = image.pageSize
    writer.pageCount = image.pageCount
    const sums = new PageSums(image)
    let head: VersionInfo | undefined
    for (let version = image.version + 1; ; version++) {
      const bytes = await log.readVersion(version)
      if (bytes === undefined) break
      const name = log.objectName(versionKey(log.target, version, log.prefix))
      const { header, pages } = decodeLtx(bytes, name)
      if (header.pageSize !== image.pageSize) return undefined
      writer.begin(header, name)
      sums.resize(header.pageCount)
      for (const [pageNumber, page] of pages) {
        writer.page(pageNumber, page)
        sums.set(pageNumber, pageChecksum(pageNumber, page))
      }
      writer.end()
      head = versionInfo(header, bytes.length)
    }
    if (head?.databaseChecksum === undefined || head.databaseChecksum !== sums.total) return undefined
    await file.sync()
    const { version, timestampMs, pageCount } = head
    const content = { databaseChecksum: sums.total, pageChecksums: sums.entries }
    return { image: { ...image, version, timestampMs, pageCount, ...content }, head }
  } finally {
    file.closeSync()
  }
}

/** Page checksums and their sum, kept up to date page by page. */
class PageSums {
  entries: BigUint64Array
  total: bigint

  constructor(image: RestoredImage) {
    this.entries = image.pageChecksums.slice()
    this.total = image.databaseChecksum
  }

  resize(pageCount: number): void {
    for (const gone of this.entries.subarray(pageCount)) this.total = subtractChecksum(this.total, gone)
    const resized = new BigUint64Array(pageCount)
    resized.set(this.entries.subarray(0, pageCount))
    this.entries = resized
  }

  set(pageNumber: number, checksum: bigint): void {
    const before = this.entries[pageNumber - 1] as bigint
    this.total = addChecksum(subtractChecksum(this.total, before), checksum)
    this.entries[pageNumber - 1] = checksum
  }
}

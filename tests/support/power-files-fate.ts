import type { NameStep } from './power-files.ts'

/** Seeded choices; `Choices` of the proof loops fits. */
export interface CutChoices {
  between(least: number, most: number): number
  chance(probability: number): boolean
  pick<T>(values: readonly T[]): T
}

const SECTOR_BYTES = 512
const CONTENT_FATES = ['kept', 'dropped', 'zeros', 'torn', 'garbled'] as const
const NAME_FATES = ['all', 'none', 'first', 'some'] as const

/**
 * What the disk shows of a file that was written and not forced: new, as it was, the new size with
 * nothing in it, a mixture of both sector by sector, or with sectors that hold anything.
 */
export function cutContent(
  now: Buffer,
  safe: Buffer,
  choices: CutChoices,
): { how: string; bytes: Uint8Array } {
  const how = choices.pick(CONTENT_FATES)
  if (how === 'kept') return { how, bytes: now }
  if (how === 'dropped') return { how, bytes: safe }
  const bytes = Buffer.alloc(choices.pick([now.length, safe.length]))
  if (how === 'zeros') safe.copy(bytes)
  else
    for (let offset = 0; offset < bytes.length; offset += SECTOR_BYTES) {
      const sector = bytes.subarray(offset, offset + SECTOR_BYTES)
      if (how === 'garbled' && choices.chance(0.3)) sector.fill(choices.between(0, 255))
      else copySector(choices.chance(0.5) ? now : safe, sector, offset)
    }
  return { how, bytes }
}

function copySector(from: Buffer, sector: Buffer, offset: number): void {
  sector.fill(0)
  if (offset < from.length) from.copy(sector, 0, offset, offset + sector.length)
}

/** Which steps are on the disk, decided for each folder: all, none, the first so many, or any of them. */
export function survivingSteps(steps: NameStep[], choices: CutChoices): Set<NameStep> {
  const survived = new Set<NameStep>()
  for (const folder of [...new Set(steps.map((step) => step.folder))].sort()) {
    const own = steps.filter((step) => step.folder === folder)
    const fate = choices.pick(NAME_FATES)
    const first = choices.between(0, own.length)
    own.forEach((step, index) => {
      const isThere = { all: true, none: false, first: index < first, some: choices.chance(0.5) }[fate]
      if (isThere) survived.add(step)
    })
  }
  for (const step of survived) if (step.after !== undefined) survived.add(step.after)
  return new Set(steps.filter((step) => survived.has(step)))
}

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Figure } from './figure.ts'
import type { Machine } from './machine.ts'

export interface RowResult {
  row: string
  question: string
  date: string
  quick: boolean
  command: string
  machine: Machine
  tookSeconds: number
  figures: Figure[]
}

/** Keeps a result as `<date>-<row>.json`: a later run on the same day replaces it. */
export function keepResult(folder: string, result: RowResult): string {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${result.date.slice(0, 10)}-${result.row}${result.quick ? '-quick' : ''}.json`)
  const rounded = JSON.stringify(
    result,
    (_key, value) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value),
    1,
  )
  writeFileSync(path, `${rounded.replace(/(-?[\d.e+]+),\n\s+(?=-?[\d.])/g, '$1, ')}\n`)
  return path
}

/** One line a figure, the goal beside it. */
export function tableOf(figures: Figure[]): string {
  const lines = figures.map((figure) => [
    figure.what,
    figure.whose,
    `${shown(figure.value)} ${figure.unit}`,
    spread(figure),
    figure.goal === undefined ? '' : `${figure.goal.met ? 'met' : 'MISSED'}: ${figure.goal.text}`,
    figure.note ?? '',
  ])
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function spread({ samples }: Figure): string {
  if (samples === undefined || samples.length < 2) return ''
  return `${shown(Math.min(...samples))}–${shown(Math.max(...samples))} of ${samples.length}`
}

function shown(value: number): string {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
}

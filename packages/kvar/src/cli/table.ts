export interface Column {
  title: string
  /** Numbers stand to the right, so that their digits line up. */
  align?: 'left' | 'right'
}

/**
 * Rows as aligned plain text, two spaces between columns, indented by two. The last column is as
 * wide as it likes; a column in which nothing stands is left out.
 *
 * @example
 * tableLines([{ title: 'version' }, { title: 'size' }], [['8412', '14.2 MB']])
 */
export function tableLines(columns: Column[], rows: string[][]): string[] {
  const used = columns.flatMap((column, index) =>
    rows.some((row) => (row[index] ?? '') !== '') ? [{ ...column, index }] : [],
  )
  const texts = [
    used.map(({ title }) => title),
    ...rows.map((row) => used.map(({ index }) => row[index] ?? '')),
  ]
  const widths = used.map((_, place) => Math.max(...texts.map((cells) => cells[place]?.length ?? 0)))
  return texts.map((cells) => {
    const padded = cells.map((cell, place) => {
      const width = widths[place] ?? 0
      return used[place]?.align === 'right' ? cell.padStart(width) : cell.padEnd(width)
    })
    return `  ${padded.join('  ')}`.trimEnd()
  })
}

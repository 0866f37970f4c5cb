// Goal: a family that was told "saved" finds its event again after the machine is gone. Method: the
// built server as a real process, a real browser on it; once the page says that the event is stored,
// server and keeper are killed in one moment and everything but the place away is deleted.
import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { buildCalendar, type Machine, makeMachine, type RunningServer } from './calendar-server.ts'

const CHROMIUM = '/usr/bin/chromium'
const leftOut = existsSync(CHROMIUM)
  ? undefined
  : `${CHROMIUM} is not installed (apt-get install --no-install-recommends chromium)`

const PHONE = { width: 390, height: 844 }
const DESKTOP = { width: 1440, height: 900 }

let browser: Browser
let machine: Machine
let server: RunningServer | undefined
/** What a page did that it must not do: load from elsewhere, break its own rules, fail. */
let complaints: string[] = []

beforeAll(async () => {
  if (leftOut !== undefined) return
  buildCalendar()
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
})
afterAll(async () => {
  await browser?.close()
})

beforeEach((context) => {
  if (leftOut !== undefined) context.skip(leftOut)
  machine = makeMachine()
  complaints = []
})
afterEach(async () => {
  await server?.destroy()
  server = undefined
  machine?.remove()
  expect(complaints).toEqual([])
})

async function start(): Promise<RunningServer> {
  server = await machine.start()
  return server
}

/** The page as somebody sees it, once the week is there. */
async function open(url: string, viewport: { width: number; height: number }): Promise<Page> {
  const context = await browser.newContext({ viewport, locale: 'sv-SE', timezoneId: 'Europe/Stockholm' })
  const page = await context.newPage()
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== url) complaints.push(`asked elsewhere: ${request.url()}`)
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) complaints.push(message.text())
  })
  await page.goto(url)
  await page.locator('main[aria-busy=false]').waitFor()
  return page
}

async function addEvent(page: Page, event: { title: string; person: string; time: string }): Promise<void> {
  await page.getByRole('button', { name: 'Ny händelse', exact: true }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Vad').fill(event.title)
  await dialog.getByRole('textbox', { name: 'Namn' }).fill(event.person)
  await dialog.getByLabel('Börjar').fill(event.time)
  await dialog.getByRole('button', { name: 'Spara' }).click()
}

async function untilStored(page: Page): Promise<void> {
  await page.locator('[data-notice=stored]').waitFor({ timeout: 30_000 })
  expect(await page.getByRole('status').textContent()).toMatch(/Sparat/)
}

const card = (page: Page, title: string) => page.locator('.card', { hasText: title })

test('an event that was called stored outlives the machine', async () => {
  const first = await start()
  const page = await open(first.url, DESKTOP)
  await addEvent(page, { title: 'Pianolektion <b>🎹</b>', person: 'Astrid', time: '1545' })
  await untilStored(page)
  await first.destroy()
  machine.forget()

  const second = await start()
  const again = await open(second.url, PHONE)
  await card(again, 'Pianolektion <b>🎹</b>').waitFor()
  expect(await card(again, 'Pianolektion').textContent()).toMatch(/15:45–16:45.*Astrid/s)
  expect(await again.locator('.safety').textContent()).toContain('hämtades tillbaka')
})

test('on a phone an event is changed, deleted and brought back', async () => {
  const { url } = await start()
  const page = await open(url, PHONE)
  await addEvent(page, { title: 'Simskola', person: 'Ellen', time: '16:30' })
  await untilStored(page)

  await card(page, 'Simskola').click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Vad').fill('Simskola, stora bassängen')
  await dialog.getByLabel('Timmar').fill('1.5')
  await dialog.getByRole('button', { name: 'Spara' }).click()
  await card(page, 'stora bassängen').waitFor()
  expect(await card(page, 'stora bassängen').textContent()).toContain('16:30–18:00')

  await card(page, 'stora bassängen').click()
  await dialog.getByRole('button', { name: 'Ta bort' }).click()
  await dialog.getByRole('button', { name: 'Ja, ta bort' }).click()
  await card(page, 'stora bassängen').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Ångra' }).click()
  await card(page, 'stora bassängen').waitFor()
})

test('a wrong time is refused beside its field, in the language that was chosen', async () => {
  const { url } = await start()
  const page = await open(url, PHONE)
  await page.getByRole('button', { name: 'Show the calendar in English' }).click()
  await page.reload()
  await page.getByRole('button', { name: 'New event', exact: true }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('What').fill('Dentist')
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Nils')
  await dialog.getByLabel('Starts').fill('25:00')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.getByText('Time must be a time of day').waitFor()
  expect(await dialog.getByLabel('Starts').getAttribute('aria-invalid')).toBe('true')
  expect(
    await dialog.getByLabel('Starts').evaluate((field) => field.ownerDocument.activeElement === field),
  ).toBe(true)
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden' })
})

test('the server stops in order when the host asks, and the page is there within two seconds of the next start', async () => {
  const first = await start()
  const page = await open(first.url, PHONE)
  await addEvent(page, { title: 'Kör', person: 'Astrid', time: '18:30' })
  await untilStored(page)
  expect(await first.stop()).toBe(0)

  const begunMs = performance.now()
  const { url } = await start()
  expect((await fetch(url)).status).toBe(200)
  expect(performance.now() - begunMs).toBeLessThan(2_000)
})

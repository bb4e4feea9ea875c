//! Markdown tables with a verdict a line.

/// Rows of one table, and whether all of them kept their targets.
pub struct Table {
    title: String,
    rows: Vec<[String; 6]>,
}

impl Table {
    /// `columns`: what the two subjects' columns are called.
    pub fn new(title: &str, columns: [&str; 2]) -> Self {
        let [one, other] = columns.map(str::to_owned);
        let head = [
            "measured".into(),
            one,
            other,
            "ratio".into(),
            "target".into(),
            "".into(),
        ];
        Self {
            title: title.into(),
            rows: vec![head],
        }
    }

    /// One line; `value <= target` passes.
    pub fn at_most(&mut self, what: &str, cells: [String; 3], value: f64, target: f64) {
        self.row(what, cells, &format!("<= {target}"), Some(value <= target));
    }

    pub fn at_least(&mut self, what: &str, cells: [String; 3], value: f64, target: f64) {
        self.row(what, cells, &format!(">= {target}"), Some(value >= target));
    }

    /// A line to know, without a target.
    pub fn note(&mut self, what: &str, cells: [String; 3]) {
        self.row(what, cells, "", None);
    }

    fn row(
        &mut self,
        what: &str,
        [one, other, ratio]: [String; 3],
        target: &str,
        pass: Option<bool>,
    ) {
        let verdict = match pass {
            Some(true) => "PASS",
            Some(false) => "MISS",
            None => "",
        };
        self.rows.push([
            what.into(),
            one,
            other,
            ratio,
            target.into(),
            verdict.into(),
        ]);
    }

    pub fn print(&self) {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].len())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..6).map(width).collect();
        println!("\n### {}\n", self.title);
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, &width)| format!(" {cell:<width$} |"));
            println!("|{}", cells.collect::<String>());
            if number == 0 {
                let rule = widths.iter().map(|&width| format!(" {:-<width$} |", ""));
                println!("|{}", rule.collect::<String>().replace("|  |", "| - |"));
            }
        }
    }
}
